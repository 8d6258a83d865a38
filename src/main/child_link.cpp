#include "main/child_link.h"

#include <fcntl.h>

namespace pgbalancer {

namespace {
constexpr size_t kMaxWaiting = 10000;
}

ChildLink::ChildLink(EventLoop &loop, UniqueFd fd, Owner &owner) : loop_(loop), owner_(owner), channel_(std::move(fd)) {
    event_.arm<&ChildLink::on_event>(loop_, channel_.fd(), EV_READ, this);
}

bool ChildLink::send(ControlType type, std::span<const std::byte> body, int fd) {
    if (lost_ || waiting_.size() >= kMaxWaiting) {
        return false;
    }
    if (waiting_.empty() && channel_.send(type, body, fd)) {
        return true;
    }
    waiting_.push_back(Waiting{
        .type = type, .body = {body.begin(), body.end()}, .fd = UniqueFd(fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 0))});
    event_.arm<&ChildLink::on_event>(loop_, channel_.fd(), EV_READ | EV_WRITE, this);
    return true;
}

void ChildLink::on_event(short what) {
    if ((what & EV_READ) != 0) {
        drain();
    }
    if (!lost_ && (what & EV_WRITE) != 0) {
        flush();
    }
}

void ChildLink::flush() {
    while (!waiting_.empty()) {
        const Waiting &next = waiting_.front();
        if (!channel_.send(next.type, next.body, next.fd.get())) {
            return;
        }
        waiting_.pop_front();
    }
    event_.arm<&ChildLink::on_event>(loop_, channel_.fd(), EV_READ, this);
}

void ChildLink::drain() {
    while (!lost_) {
        auto received = channel_.receive();
        if (!received) {
            lose(received.error());
            return;
        }
        if (!*received) {
            return;
        }
        owner_.on_message(std::move(**received));
    }
}

void ChildLink::lose(const Error &why) {
    lost_ = true;
    waiting_.clear();
    event_.disarm();
    owner_.on_link_lost(why);
}

} // namespace pgbalancer
