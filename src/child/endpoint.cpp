#include "child/endpoint.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <sys/socket.h>

namespace pgbalancer {

namespace {

// A few short parts are cheaper to copy together than to send as a vector.
constexpr size_t kCopiedBytes = 1024;

std::span<iovec> join(std::span<iovec> parts, std::span<char> room) {
    size_t total = 0;
    for (const iovec &part : parts) {
        total += part.iov_len;
    }
    if (total > room.size()) {
        return parts;
    }
    char *end = room.data();
    for (const iovec &part : parts) {
        end = static_cast<char *>(mempcpy(end, part.iov_base, part.iov_len));
    }
    parts[0] = {room.data(), total};
    return parts.first(1);
}

std::span<iovec> without(std::span<iovec> parts, size_t written) {
    while (!parts.empty() && written >= parts[0].iov_len) {
        written -= parts[0].iov_len;
        parts = parts.subspan(1);
    }
    if (!parts.empty()) {
        parts[0].iov_base = static_cast<char *>(parts[0].iov_base) + written;
        parts[0].iov_len -= written;
    }
    return parts;
}

ssize_t send_parts(int fd, std::span<iovec> parts) {
    if (parts.size() == 1) {
        return send(fd, parts[0].iov_base, parts[0].iov_len, MSG_NOSIGNAL);
    }
    msghdr message{};
    message.msg_iov = parts.data();
    message.msg_iovlen = parts.size();
    return sendmsg(fd, &message, MSG_NOSIGNAL);
}

} // namespace

bool Endpoint::write_pending() {
    while (!pending_.empty()) {
        const std::string_view bytes = pending_.view();
        const ssize_t n = send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
        if (n < 0) {
            if (errno == EINTR) {
                continue;
            }
            if (errno == EAGAIN || errno == EWOULDBLOCK) {
                return true;
            }
            broken_ = true;
            pending_.clear();
            return false;
        }
        pending_.consume(static_cast<size_t>(n));
    }
    return true;
}

Outgoing::Outgoing() : arena_(new char[kArenaBytes]) {}

void Outgoing::add_part(Endpoint &to, std::string_view bytes) {
    if (bytes.empty()) {
        return;
    }
    if (to_ != &to || count_ == kMaxParts) {
        flush();
        to_ = &to;
    }
    parts_[count_++] = {const_cast<char *>(bytes.data()), bytes.size()};
    end_ = bytes.data() + bytes.size();
}

void Outgoing::add_copy(Endpoint &to, std::string_view bytes) {
    if (to_ != &to) {
        flush();
    }
    while (!bytes.empty()) {
        if (arena_used_ == kArenaBytes || count_ == kMaxParts) {
            flush();
        }
        const size_t n = std::min(bytes.size(), kArenaBytes - arena_used_);
        memcpy(arena_.get() + arena_used_, bytes.data(), n);
        add(to, {arena_.get() + arena_used_, n});
        arena_used_ += n;
        bytes.remove_prefix(n);
    }
}

void Outgoing::forget(const Endpoint &endpoint) {
    if (to_ == &endpoint) {
        to_ = nullptr;
        count_ = 0;
        arena_used_ = 0;
    }
}

void Outgoing::send_gathered() {
    Endpoint &to = *to_;
    char together[kCopiedBytes];
    std::span<iovec> parts = std::span(parts_).first(count_);
    if (parts.size() > 1) {
        parts = join(parts, together);
    }
    const bool was_blocked = to.blocked();
    while (!was_blocked && !to.broken_ && !parts.empty()) {
        const ssize_t n = send_parts(to.fd_.get(), parts);
        if (n >= 0) {
            parts = without(parts, static_cast<size_t>(n));
        } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
            break;
        } else if (errno != EINTR) {
            to.broken_ = true; // the reader's side will see it too and end the connection
        }
    }
    if (!to.broken_) {
        for (const iovec &part : parts) {
            to.pending_.append({static_cast<const char *>(part.iov_base), part.iov_len});
        }
    }
    to_ = nullptr;
    count_ = 0;
    arena_used_ = 0;
    if ((!was_blocked && to.blocked()) || to.broken_) {
        to.on_blocked();
    }
}

} // namespace pgbalancer
