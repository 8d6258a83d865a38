// health_scripted_server.h: a server in the test's own event loop that says fixed things, and the words of a real one.
#pragma once

#include "common/event_loop.h"
#include "common/unique_fd.h"

#include <arpa/inet.h>
#include <cstdlib>
#include <deque>
#include <memory>
#include <netinet/in.h>
#include <string>
#include <sys/socket.h>
#include <vector>

namespace pgbalancer::test {

inline std::string length32(size_t size) {
    const uint32_t n = htonl(static_cast<uint32_t>(size));
    return {reinterpret_cast<const char *>(&n), sizeof n};
}
inline std::string frame(char type, const std::string &body) { return type + length32(body.size() + 4) + body; }
inline std::string error(const std::string &sqlstate, const std::string &text) {
    const std::string zero(1, '\0');
    return frame('E', "SFATAL" + zero + "VFATAL" + zero + "C" + sqlstate + zero + "M" + text + zero + zero);
}
inline const std::string kReadyForQuery = frame('Z', "I");
inline const std::string kLoggedIn = frame('R', length32(0)) +
                                     frame('S', std::string("server_version\0", 15) + std::string("15.3\0", 5)) +
                                     frame('K', length32(7) + length32(8)) + kReadyForQuery;
inline std::string answer(const std::string &value) {
    const std::string column = std::string("r\0", 2) + length32(0) + std::string(2, '\0') + length32(16) +
                               std::string("\0\1", 2) + std::string(4, '\377') + std::string(2, '\0');
    return frame('T', std::string("\0\1", 2) + column) +
           frame('D', std::string("\0\1", 2) + length32(value.size()) + value) +
           frame('C', std::string("SELECT 1\0", 9)) + kReadyForQuery;
}
inline constexpr const char *kHangUp = "hang up";

// One entry per thing a client says, over all connections. An empty one keeps silent.
class ScriptedServer {
  public:
    explicit ScriptedServer(EventLoop &loop) : loop_(loop), listener_(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0)) {
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        socklen_t size = sizeof address;
        if (bind(listener_.get(), reinterpret_cast<sockaddr *>(&address), size) != 0 ||
            listen(listener_.get(), 8) != 0 ||
            getsockname(listener_.get(), reinterpret_cast<sockaddr *>(&address), &size) != 0) {
            abort();
        }
        port = ntohs(address.sin_port);
        event_.arm<&ScriptedServer::on_accept>(loop_, listener_.get(), EV_READ, this);
    }
    void stop_listening() {
        event_.disarm();
        listener_.reset();
    }
    void close_clients() { clients_.clear(); }

    uint16_t port = 0;
    std::deque<std::string> script;
    int connections = 0;

  private:
    struct Client {
        ScriptedServer *server;
        UniqueFd fd;
        IoEvent event;
        void on_read(short) { server->reply(*this); }
    };
    void on_accept(short) {
        connections++;
        auto client = std::make_unique<Client>();
        client->server = this;
        client->fd = UniqueFd(accept4(listener_.get(), nullptr, nullptr, SOCK_NONBLOCK));
        client->event.arm<&Client::on_read>(loop_, client->fd.get(), EV_READ, client.get());
        clients_.push_back(std::move(client));
    }
    void reply(Client &client) {
        char buffer[4096];
        const ssize_t n = recv(client.fd.get(), buffer, sizeof buffer, 0);
        if (n == 8) { // SSLRequest: no script needed
            send(client.fd.get(), "N", 1, MSG_NOSIGNAL);
            return;
        }
        if (n > 0 && buffer[0] == 'X') {
            return;
        }
        const std::string next = n <= 0 || script.empty() ? kHangUp : script.front();
        if (n > 0 && !script.empty()) {
            script.pop_front();
        }
        if (next == kHangUp) {
            client.event.disarm();
            client.fd.reset();
            return;
        }
        send(client.fd.get(), next.data(), next.size(), MSG_NOSIGNAL);
    }

    EventLoop &loop_;
    UniqueFd listener_;
    IoEvent event_;
    std::vector<std::unique_ptr<Client>> clients_;
};

} // namespace pgbalancer::test
