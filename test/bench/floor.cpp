// floor: the cheapest possible forwarder between PostgreSQL clients and a server, as the yardstick of test/bench.
//
//     floor LISTEN_PORT SERVER [PROCESSES]
//
// SERVER is a port of 127.0.0.1 or the absolute path of a Unix-domain socket. Every client gets a server connection of
// its own and a turn is epoll_wait, recv, send: nothing is parsed, pooled, routed or authenticated. What a proxy spends
// above this is what its features cost. PROCESSES copies (default 1) share the port, the kernel spreading connections
// over them: a proxy of N workers is compared with N copies, because serving the same clients from more processes costs
// something by itself.
//
// It is a correct forwarder all the same, so that the yardstick is not cheaper than the work: nothing blocks, and a
// destination that is full stops its source until the backlog is written. Exit codes: 2 usage, 1 the port or the
// limits.
#include <arpa/inet.h>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <netinet/tcp.h>
#include <string>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <vector>

namespace {

constexpr size_t kBufferBytes = 64 * 1024;
constexpr int kEventsPerTurn = 256;

// A socket address of either family, ready for bind() or connect().
struct Address {
    sockaddr_storage storage{};
    socklen_t length = 0;

    int family() const { return storage.ss_family; }
    const sockaddr *get() const { return reinterpret_cast<const sockaddr *>(&storage); }
};

// A decimal number of the command line, or the end of the program.
int number(const char *text, int low, int high) {
    int value = 0;
    const char *end = text + strlen(text);
    auto [rest, error] = std::from_chars(text, end, value);
    if (error != std::errc{} || rest != end || value < low || value > high) {
        fprintf(stderr, "floor: \"%s\" is not a number from %d to %d\n", text, low, high);
        exit(2);
    }
    return value;
}

Address loopback(const char *port) {
    sockaddr_in in{};
    in.sin_family = AF_INET;
    in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    in.sin_port = htons(static_cast<uint16_t>(number(port, 1, 65535)));
    Address address;
    memcpy(&address.storage, &in, sizeof in);
    address.length = sizeof in;
    return address;
}

Address server_address(const char *text) {
    if (text[0] != '/')
        return loopback(text);
    sockaddr_un un{};
    un.sun_family = AF_UNIX;
    snprintf(un.sun_path, sizeof un.sun_path, "%s", text);
    Address address;
    memcpy(&address.storage, &un, sizeof un);
    address.length = sizeof un;
    return address;
}

class Forwarder {
  public:
    Forwarder(int listener, const Address &server, size_t descriptors)
        : listener_(listener), server_(server), ends_(descriptors), epoll_(epoll_create1(EPOLL_CLOEXEC)) {
        watch(EPOLL_CTL_ADD, listener_, EPOLLIN);
    }

    [[noreturn]] void run() {
        epoll_event events[kEventsPerTurn];
        for (;;) {
            int count = epoll_wait(epoll_, events, kEventsPerTurn, -1);
            for (int i = 0; i < count; i++)
                dispatch(events[i].data.fd, events[i].events);
        }
    }

  private:
    // One side of a pair, indexed by its descriptor. `backlog` is what could not be written to it yet; while there is
    // any, its peer is not read.
    struct End {
        int peer = -1;
        std::string backlog;
    };

    void watch(int operation, int fd, uint32_t interest) {
        epoll_event event{};
        event.events = interest;
        event.data.fd = fd;
        epoll_ctl(epoll_, operation, fd, &event);
    }

    void dispatch(int fd, uint32_t happened) {
        if (fd == listener_)
            return accept_client();
        // An event of a pair that ended earlier in this turn finds no peer, or a new pair and then nothing to read.
        if (ends_[fd].peer < 0)
            return;
        if (happened & EPOLLOUT)
            flush(fd);
        else
            forward(fd);
    }

    void accept_client() {
        int client = accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (client < 0)
            return;
        // Connecting on loopback is over within the call; only what follows must not block.
        int server = socket(server_.family(), SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (server < 0 || connect(server, server_.get(), server_.length) != 0) {
            close(client);
            if (server >= 0)
                close(server);
            return;
        }
        for (int fd : {client, server}) {
            int one = 1;
            setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one); // a Unix-domain socket refuses it; no matter
        }
        ends_[client].peer = server;
        ends_[server].peer = client;
        watch(EPOLL_CTL_ADD, client, EPOLLIN);
        watch(EPOLL_CTL_ADD, server, EPOLLIN);
    }

    void forward(int from) {
        char buffer[kBufferBytes];
        int to = ends_[from].peer;
        ssize_t got = recv(from, buffer, sizeof buffer, MSG_DONTWAIT);
        if (got < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (got <= 0)
            return end_pair(from);
        ssize_t sent = send(to, buffer, got, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent == got)
            return;
        if (sent < 0 && errno != EAGAIN && errno != EINTR)
            return end_pair(from);
        sent = sent < 0 ? 0 : sent;
        ends_[to].backlog.append(buffer + sent, got - sent); // not empty if `from` hung up while stopped
        set_interest(from);
        set_interest(to);
    }

    void flush(int to) {
        std::string &backlog = ends_[to].backlog;
        ssize_t sent = send(to, backlog.data(), backlog.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent < 0 && errno != EAGAIN && errno != EINTR)
            return end_pair(to);
        backlog.erase(0, sent < 0 ? 0 : sent);
        if (backlog.empty()) {
            set_interest(to);
            set_interest(ends_[to].peer);
        }
    }

    void set_interest(int fd) {
        uint32_t interest = ends_[ends_[fd].peer].backlog.empty() ? EPOLLIN : 0U;
        watch(EPOLL_CTL_MOD, fd, interest | (ends_[fd].backlog.empty() ? 0U : EPOLLOUT));
    }

    void end_pair(int fd) {
        for (int end : {fd, ends_[fd].peer}) {
            ends_[end] = End{};
            close(end);
        }
    }

    int listener_;
    Address server_;
    std::vector<End> ends_;
    int epoll_;
};

int listen_on(const Address &address) {
    int fd = socket(address.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int one = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one);
    if (fd < 0 || bind(fd, address.get(), address.length) != 0 || listen(fd, SOMAXCONN) != 0) {
        perror("floor: cannot listen");
        exit(1);
    }
    return fd;
}

// The copies end with the first process, however it ends.
void start_copies(int processes) {
    pid_t first = getpid();
    for (int i = 1; i < processes; i++) {
        pid_t pid = fork();
        if (pid < 0) {
            perror("floor: cannot fork");
            exit(1);
        }
        if (pid == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            if (getppid() != first)
                _exit(1);
            return;
        }
    }
}

} // namespace

int main(int argc, char **argv) {
    if (argc < 3 || argc > 4) {
        fprintf(stderr, "usage: floor LISTEN_PORT SERVER_PORT|SERVER_SOCKET [PROCESSES]\n");
        return 2;
    }
    rlimit descriptors{};
    if (getrlimit(RLIMIT_NOFILE, &descriptors) != 0) {
        perror("floor: getrlimit");
        return 1;
    }
    start_copies(argc == 4 ? number(argv[3], 1, 1024) : 1);
    Forwarder(listen_on(loopback(argv[1])), server_address(argv[2]), descriptors.rlim_cur).run();
}
