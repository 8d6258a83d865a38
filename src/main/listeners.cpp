#include "main/listeners.h"

#include "common/clock.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <grp.h>
#include <memory>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

namespace pgbalancer {

namespace {

// The kernel takes the smaller of this and net.core.somaxconn.
constexpr int kBacklog = 65535;
constexpr int kBindAgainMs = 20;
constexpr int kConnectAgainMs = 250; // each time the server there gets a client that only goes again
constexpr int kSocketType = SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC;

Error listen_error(const std::string &name, const std::string &why) {
    return Error{.message = "cannot listen on " + name + ": " + why, .sqlstate = {}};
}

std::string address_name(const addrinfo &address) {
    char host[NI_MAXHOST];
    char service[NI_MAXSERV];
    if (getnameinfo(address.ai_addr, address.ai_addrlen, host, sizeof host, service, sizeof service,
                    NI_NUMERICHOST | NI_NUMERICSERV) != 0) {
        return "?";
    }
    return address.ai_family == AF_INET6 ? "[" + std::string(host) + "]:" + service : std::string(host) + ":" + service;
}

// Returns 0 or errno.
int bind_tcp(const addrinfo &address, UniqueFd &out) {
    UniqueFd fd(socket(address.ai_family, kSocketType, 0));
    const int on = 1;
    if (!fd || setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
        // Otherwise [::] would take the IPv4 port as well.
        (address.ai_family == AF_INET6 && setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on) != 0) ||
        bind(fd.get(), address.ai_addr, address.ai_addrlen) != 0 || listen(fd.get(), kBacklog) != 0) {
        return errno;
    }
    out = std::move(fd);
    return 0;
}

bool is_absent_protocol(int error) { return error == EAFNOSUPPORT || error == EADDRNOTAVAIL; }

// Whether somebody listens there: a full queue counts, a socket file without a process does not.
bool is_alive(const sockaddr_un &address) {
    const UniqueFd fd(socket(AF_UNIX, kSocketType, 0));
    return fd &&
           (connect(fd.get(), reinterpret_cast<const sockaddr *>(&address), sizeof address) == 0 || errno == EAGAIN);
}

Status set_permissions(const Config &config, const std::string &path) {
    if (!config.unix_socket_group.empty()) {
        errno = 0;
        const group *entry = getgrnam(config.unix_socket_group.c_str());
        if (entry == nullptr) {
            return listen_error(path, "unix_socket_group \"" + config.unix_socket_group + "\" does not exist");
        }
        if (chown(path.c_str(), static_cast<uid_t>(-1), entry->gr_gid) != 0) {
            return listen_error(path,
                                "cannot give it to group \"" + config.unix_socket_group + "\": " + strerror(errno));
        }
    }
    if (chmod(path.c_str(), config.unix_socket_permissions) != 0) {
        return listen_error(path, std::string("cannot set its permissions: ") + strerror(errno));
    }
    return Ok{};
}

} // namespace

Listeners::UnixSocket::UnixSocket(LockFile lock_file, std::string socket_path)
    : lock(std::move(lock_file)), path(std::move(socket_path)), owner(getpid()) {}

Listeners::UnixSocket::UnixSocket(UnixSocket &&other) noexcept
    : lock(std::move(other.lock)), path(std::move(other.path)), owner(other.owner),
      bound(std::exchange(other.bound, false)) {}

Listeners::UnixSocket::~UnixSocket() {
    if (bound && owner == getpid()) {
        unlink(path.c_str());
    }
}

Result<Listeners> Listeners::open(const Config &config, std::chrono::milliseconds patience) {
    const auto deadline = monotonic_now() + patience;
    Listeners listeners;
    for (const std::string &address : config.listen_addresses) {
        if (Status opened = listeners.open_tcp(config, address, deadline); !opened) {
            return opened.error();
        }
    }
    for (const std::string &directory : config.unix_socket_directories) {
        if (Status opened = listeners.open_unix(config, directory, deadline); !opened) {
            return opened.error();
        }
    }
    return listeners;
}

// One name may stand for several addresses. Those of a protocol this machine lacks are passed over, as long as one
// of them works; any other failure counts.
Status Listeners::open_tcp(const Config &config, const std::string &address, std::chrono::nanoseconds deadline) {
    const bool any = address == "*";
    addrinfo hints{};
    hints.ai_family = AF_UNSPEC;
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
    addrinfo *raw = nullptr;
    const int failed = getaddrinfo(any ? nullptr : address.c_str(), std::to_string(config.port).c_str(), &hints, &raw);
    if (failed != 0) {
        return listen_error(address, gai_strerror(failed));
    }
    const std::unique_ptr<addrinfo, decltype([](addrinfo *list) { freeaddrinfo(list); })> found(raw);

    bool bound = false;
    std::string reason = "no address";
    for (const addrinfo *at = found.get(); at != nullptr; at = at->ai_next) {
        Socket socket{.fd = {}, .name = address_name(*at)};
        if (std::ranges::any_of(sockets_, [&](const Socket &other) { return other.name == socket.name; })) {
            bound = true;
            continue;
        }
        int error = bind_tcp(*at, socket.fd);
        while (error == EADDRINUSE && monotonic_now() < deadline) {
            poll(nullptr, 0, kBindAgainMs);
            error = bind_tcp(*at, socket.fd);
        }
        reason = socket.name + ": " + strerror(error);
        if (error == 0) {
            bound = true;
            sockets_.push_back(std::move(socket));
        } else if (!is_absent_protocol(error)) {
            return listen_error(socket.name, strerror(error));
        }
    }
    return bound ? Status(Ok{}) : Status(listen_error(address, reason));
}

// The socket is where libpq looks for it. Its lock file has PostgreSQL's name and form, so that neither takes the
// other's place.
Status Listeners::open_unix(const Config &config, const std::string &directory, std::chrono::nanoseconds deadline) {
    const std::string path = directory + "/.s.PGSQL." + std::to_string(config.port);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.size() >= sizeof address.sun_path) {
        return listen_error(path, "the path is longer than " + std::to_string(sizeof address.sun_path - 1) + " bytes");
    }
    memcpy(address.sun_path, path.c_str(), path.size() + 1);
    auto lock = LockFile::acquire(path + ".lock", 0600);
    if (!lock) {
        return listen_error(path, lock.error().message);
    }
    while (is_alive(address)) {
        if (monotonic_now() < deadline) {
            poll(nullptr, 0, kConnectAgainMs);
            continue;
        }
        return listen_error(path, "another server accepts connections there");
    }
    const std::string content = std::to_string(getpid()) + "\n" + config.source_path + "\n" +
                                std::to_string(wall_now_us() / 1000000) + "\n" + std::to_string(config.port) + "\n" +
                                directory + "\n";
    if (Status written = lock->write(content); !written) {
        return listen_error(path, written.error().message);
    }
    UnixSocket unix_socket(std::move(*lock), path);
    if (unlink(path.c_str()) != 0 && errno != ENOENT) {
        return listen_error(path, std::string("cannot remove the old socket: ") + strerror(errno));
    }
    UniqueFd fd(socket(AF_UNIX, kSocketType, 0));
    if (!fd || bind(fd.get(), reinterpret_cast<const sockaddr *>(&address), sizeof address) != 0) {
        return listen_error(path, strerror(errno));
    }
    unix_socket.bound = true;
    // Nobody can connect before listen().
    if (Status set = set_permissions(config, path); !set) {
        return set;
    }
    if (listen(fd.get(), kBacklog) != 0) {
        return listen_error(path, strerror(errno));
    }
    unix_sockets_.push_back(std::move(unix_socket));
    sockets_.push_back(Socket{.fd = std::move(fd), .name = path});
    return Ok{};
}

std::vector<int> Listeners::descriptors() const {
    std::vector<int> result;
    for (const Socket &socket : sockets_) {
        result.push_back(socket.fd.get());
    }
    return result;
}

std::string Listeners::description() const {
    std::string text;
    for (const Socket &socket : sockets_) {
        text += (text.empty() ? "" : ", ") + socket.name;
    }
    return text.empty() ? "nothing" : text;
}

void Listeners::close() {
    // The workers have the sockets open as well, and one of them may be busy or stopped: shutdown() ends the listening
    // for everybody, at once.
    for (const Socket &socket : sockets_) {
        shutdown(socket.fd.get(), SHUT_RDWR);
    }
    sockets_.clear();
    unix_sockets_.clear();
}

std::vector<LeftFile> Listeners::left_files() const {
    std::vector<LeftFile> files;
    for (const UnixSocket &unix_socket : unix_sockets_) {
        files.push_back({.lock = unix_socket.lock.path(), .companion = unix_socket.path});
    }
    return files;
}

} // namespace pgbalancer
