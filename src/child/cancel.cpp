#include "child/cancel.h"

#include "child/server_connection.h"
#include "child/wire.h"
#include "child/worker_process.h"
#include "common/log.h"

#include <cerrno>
#include <sys/socket.h>

namespace pgbalancer {

namespace {

constexpr uint32_t kCancelRequestCode = 80877102;

} // namespace

void CancelCourier::send(ServerConnection &server) {
    sockaddr_storage storage{};
    socklen_t size = sizeof storage;
    if (getpeername(server.descriptor(), reinterpret_cast<sockaddr *>(&storage), &size) != 0) {
        return; // it is going down by itself
    }
    UniqueFd fd(socket(storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (!fd) {
        log_at(LogLevel::warning, "cancel request not forwarded: no socket");
        return;
    }
    if (connect(fd.get(), reinterpret_cast<const sockaddr *>(&storage), size) != 0 && errno != EINPROGRESS) {
        log_at(LogLevel::warning, "cancel request not forwarded: could not connect to the server");
        return;
    }
    Errand &errand = errands_.emplace_back();
    errand.courier = this;
    errand.server = &server;
    errand.pid = server.server_pid();
    errand.secret = server.server_secret();
    errand.fd = std::move(fd);
    errand.deadline_ms = worker_.now_ms() + std::max<int64_t>(worker_.config().connect_timeout.count(), 1000);
    server.cancel_started();
    errand.io.arm<&Errand::on_io>(worker_.loop(), errand.fd.get(), EV_WRITE, &errand);
}

void CancelCourier::Errand::on_io(short) {
    if (done) {
        return;
    }
    if (!sent) {
        std::string packet;
        MessageWriter w(packet);
        w.begin_untyped().u32(kCancelRequestCode).u32(pid).u32(secret).end();
        const ssize_t n = ::send(fd.get(), packet.data(), packet.size(), MSG_NOSIGNAL);
        if (n != static_cast<ssize_t>(packet.size())) {
            courier->finish(*this); // 16 bytes into an empty socket buffer: it is broken
            return;
        }
        sent = true;
        io.arm<&Errand::on_io>(courier->worker_.loop(), fd.get(), EV_READ, this);
        return;
    }
    char byte = 0;
    const ssize_t n = recv(fd.get(), &byte, 1, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    courier->finish(*this); // closed by the server: the signal has been sent
}

void CancelCourier::finish(Errand &errand) {
    errand.done = true;
    errand.io.disarm();
    errand.fd.reset();
    if (ServerConnection *server = std::exchange(errand.server, nullptr)) {
        server->cancel_finished();
    }
}

void CancelCourier::forget(const ServerConnection &server) {
    for (Errand &errand : errands_) {
        if (errand.server == &server) {
            errand.server = nullptr;
        }
    }
}

void CancelCourier::tick(int64_t now_ms) {
    for (Errand &errand : errands_) {
        if (!errand.done && now_ms >= errand.deadline_ms) {
            // Whether the request arrives some day is unknown: the connection it is meant for may serve nobody else.
            if (errand.server != nullptr) {
                errand.server->mark_stale();
            }
            finish(errand);
        }
    }
}

void CancelCourier::reap() {
    errands_.remove_if([](const Errand &errand) { return errand.done; });
}

} // namespace pgbalancer
