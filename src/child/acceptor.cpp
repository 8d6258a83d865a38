#include "child/acceptor.h"

#include "child/auth_address.h"
#include "child/worker_process.h"
#include "common/log.h"

#include <cerrno>
#include <cstring>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

namespace pgbalancer {

namespace {

constexpr std::chrono::milliseconds kYieldTime{2};
constexpr std::chrono::milliseconds kNoDescriptorTime{100};
constexpr int kAcceptsPerTurn = 16;

} // namespace

bool decide_to_yield(uint64_t mine, uint64_t total, uint64_t workers) {
    // More than an even share, and clearly so when there are many.
    return workers > 1 && mine * workers > total + total / 16;
}

Acceptor::Acceptor(Worker &worker, const std::vector<int> &listeners) : worker_(worker) {
    for (const int fd : listeners) {
        listeners_.push_back(std::make_unique<Listener>());
        listeners_.back()->acceptor = this;
        listeners_.back()->fd = fd;
    }
}

void Acceptor::start() {
    running_ = true;
    for (const auto &listener : listeners_) {
        listener->io.arm<&Listener::on_ready>(worker_.loop(), listener->fd, EV_READ, listener.get());
    }
}

void Acceptor::stop() {
    running_ = false;
    pause_.disarm();
    for (const auto &listener : listeners_) {
        listener->io.disarm();
    }
}

void Acceptor::Listener::on_ready(short) {
    if (acceptor->must_yield()) {
        return;
    }
    for (int i = 0; i < kAcceptsPerTurn && acceptor->accept_one(fd); i++) {
    }
}

// Steps back once; if the client is still at the door afterwards, the others are busy and it is taken.
bool Acceptor::must_yield() {
    if (std::exchange(yielded_, false)) {
        return false;
    }
    SharedState &shared = worker_.shared();
    if (!decide_to_yield(worker_.session_count(), shared.clients_total(),
                         static_cast<uint64_t>(shared.worker_count()))) {
        return false;
    }
    yielded_ = true;
    pause(kYieldTime);
    return true;
}

void Acceptor::pause(std::chrono::microseconds time) {
    for (const auto &listener : listeners_) {
        listener->io.disarm();
    }
    pause_.arm<&Acceptor::on_pause_over>(worker_.loop(), time, this);
}

void Acceptor::on_pause_over() {
    if (running_) {
        start();
    }
}

// True: there may be more.
bool Acceptor::accept_one(int listener) {
    sockaddr_storage storage{};
    socklen_t size = sizeof storage;
    UniqueFd fd(accept4(listener, reinterpret_cast<sockaddr *>(&storage), &size, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (!fd) {
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            log_at(LogLevel::error, "cannot accept a client: %s", strerror(errno));
            pause(kNoDescriptorTime);
        }
        return false;
    }
    const auto address = PeerAddress::from_sockaddr(reinterpret_cast<const sockaddr *>(&storage), size);
    if (!address) {
        return true;
    }
    if (!address->is_local_socket()) {
        const int on = 1;
        setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        setsockopt(fd.get(), SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    }
    worker_.add_client(std::move(fd), *address);
    return !decide_to_yield(worker_.session_count(), worker_.shared().clients_total(),
                            static_cast<uint64_t>(worker_.shared().worker_count()));
}

} // namespace pgbalancer
