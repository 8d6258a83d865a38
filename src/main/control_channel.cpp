#include "main/control_channel.h"

#include <array>
#include <cerrno>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>

namespace pgbalancer {

namespace {

constexpr int kSeals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL;
constexpr off_t kMaxTextBytes = 64 << 20;

Error system_error(const char *what) {
    return Error{.message = std::string(what) + ": " + strerror(errno), .sqlstate = {}};
}

bool is_known(uint16_t type) {
    switch (static_cast<ControlType>(type)) {
    case ControlType::shut_down:
    case ControlType::reload:
    case ControlType::reopen_logs:
    case ControlType::cancel:
    case ControlType::ready:
    case ControlType::node_suspect:
    case ControlType::facts_changed:
    case ControlType::reload_done:
    case ControlType::drained:
    case ControlType::node_report: return true;
    }
    return false;
}

// Takes the descriptor out of the ancillary data; what else may be in there is closed.
UniqueFd take_descriptor(msghdr &message) {
    UniqueFd taken;
    for (cmsghdr *c = CMSG_FIRSTHDR(&message); c != nullptr; c = CMSG_NXTHDR(&message, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) {
            continue;
        }
        const size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < count; i++) {
            int fd = -1;
            memcpy(&fd, CMSG_DATA(c) + i * sizeof fd, sizeof fd);
            taken.reset(fd);
        }
    }
    return taken;
}

} // namespace

Result<ControlChannel::Pair> ControlChannel::make_pair() {
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) != 0) {
        return system_error("cannot make a control channel");
    }
    return Pair{.supervisor_end = UniqueFd(ends[0]), .child_end = UniqueFd(ends[1])};
}

bool ControlChannel::send(ControlType type, std::span<const std::byte> body, int fd) {
    if (body.size() > kMaxBodyBytes) {
        return false;
    }
    ControlHeader header{
        .type = static_cast<uint16_t>(type), .reserved = 0, .length = static_cast<uint32_t>(body.size())};
    std::array<iovec, 2> parts{iovec{.iov_base = &header, .iov_len = sizeof header},
                               iovec{.iov_base = const_cast<std::byte *>(body.data()), .iov_len = body.size()}};
    msghdr message{};
    message.msg_iov = parts.data();
    message.msg_iovlen = parts.size();
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
    if (fd >= 0) {
        message.msg_control = control;
        message.msg_controllen = sizeof control;
        cmsghdr *c = CMSG_FIRSTHDR(&message);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof fd);
        memcpy(CMSG_DATA(c), &fd, sizeof fd);
    }
    ssize_t n = -1;
    do {
        n = sendmsg(fd_.get(), &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    } while (n < 0 && errno == EINTR);
    return n == static_cast<ssize_t>(sizeof header + body.size());
}

Result<std::optional<ControlMessage>> ControlChannel::receive() {
    ControlHeader header{};
    std::array<std::byte, kMaxBodyBytes> body;
    std::array<iovec, 2> parts{iovec{.iov_base = &header, .iov_len = sizeof header},
                               iovec{.iov_base = body.data(), .iov_len = body.size()}};
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
    msghdr message{};
    message.msg_iov = parts.data();
    message.msg_iovlen = parts.size();
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    ssize_t n = -1;
    do {
        n = recvmsg(fd_.get(), &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    } while (n < 0 && errno == EINTR);
    if (n < 0) {
        if (errno == EAGAIN || errno == EWOULDBLOCK) {
            return std::optional<ControlMessage>{};
        }
        return system_error("control channel");
    }
    UniqueFd fd = take_descriptor(message);
    if (n == 0) {
        return Error{.message = "control channel: end of file", .sqlstate = {}};
    }
    const auto size = static_cast<size_t>(n);
    if ((message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0 || size < sizeof header ||
        size - sizeof header != header.length || !is_known(header.type)) {
        return Error{.message = "control channel: malformed message of type " + std::to_string(header.type),
                     .sqlstate = {}};
    }
    return std::optional(ControlMessage{.type = static_cast<ControlType>(header.type),
                                        .body = std::vector<std::byte>(body.begin(), body.begin() + header.length),
                                        .fd = std::move(fd)});
}

Result<UniqueFd> seal_text(std::string_view text) {
    UniqueFd fd(memfd_create("pgbalancer configuration", MFD_CLOEXEC | MFD_ALLOW_SEALING));
    if (!fd) {
        return system_error("memfd_create");
    }
    while (!text.empty()) {
        const ssize_t n = write(fd.get(), text.data(), text.size());
        if (n < 0) {
            if (errno == EINTR) {
                continue;
            }
            return system_error("cannot write a memfd");
        }
        text.remove_prefix(static_cast<size_t>(n));
    }
    if (fcntl(fd.get(), F_ADD_SEALS, kSeals) != 0) {
        return system_error("cannot seal a memfd");
    }
    return fd;
}

Result<std::string> read_sealed_text(const UniqueFd &fd) {
    struct stat info {};
    if (!fd || fcntl(fd.get(), F_GET_SEALS) != kSeals || fstat(fd.get(), &info) != 0 || info.st_size > kMaxTextBytes) {
        return Error{.message = "no sealed text came with the message", .sqlstate = {}};
    }
    std::string text(static_cast<size_t>(info.st_size), '\0');
    size_t used = 0;
    while (used < text.size()) {
        const ssize_t n = pread(fd.get(), text.data() + used, text.size() - used, static_cast<off_t>(used));
        if (n <= 0) {
            if (n < 0 && errno == EINTR) {
                continue;
            }
            return system_error("cannot read a memfd");
        }
        used += static_cast<size_t>(n);
    }
    return text;
}

} // namespace pgbalancer
