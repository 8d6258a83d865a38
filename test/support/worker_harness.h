// worker_harness.h: one whole worker in this process, its clients and its server played by the test.
//
// The worker runs turn by turn, and never waits: between the turns the harness moves bytes, and time passes when it is
// told to. Clients and servers are the other ends of socketpairs; a server is a Conversation per connection. Everything
// that a worker holds goes with the harness, and what it must not leave behind is checked then: aborts.
#pragma once

#include "child/worker_process.h"
#include "support/conversation.h"
#include "support/transcript.h"
#include "support/virtual_system.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>
#include <utility>
#include <vector>

namespace pgbalancer::test {

inline void require(bool holds, const char *what) {
    if (!holds) {
        fprintf(stderr, "broken: %s\n", what);
        abort();
    }
}

class WorkerHarness {
  public:
    using MakeServer = std::function<std::unique_ptr<Conversation>()>;

    // What is not about pooling is as small as it may be.
    static Config small_config() {
        Config config;
        config.client_auth_method = ClientAuthMethod::trust;
        config.max_pool = 1;
        config.statement_cache_size = 8;
        config.prepared_statement_cache_size = 2;
        config.connect_timeout = std::chrono::milliseconds(0);
        config.query_wait_timeout = std::chrono::milliseconds(0);
        return config;
    }

    class Client {
      public:
        void send(std::string_view bytes) { unsent_ += bytes; }
        void hang_up() { fd_.reset(); }
        void stop_reading() { reading_ = false; }
        void read_again() { reading_ = true; }
        bool ended_by_worker() const { return closed_; }
        bool closed() const { return closed_ || !fd_; } // by either side
        bool everything_sent() const { return unsent_.empty(); }
        const Transcript &heard() const { return heard_; }

      private:
        friend class WorkerHarness;
        UniqueFd fd_;
        std::string unsent_;
        Transcript heard_;
        bool reading_ = true;
        bool closed_ = false;
    };

    WorkerHarness(Config config, MakeServer make_server)
        : make_server_(std::move(make_server)), state_(make_state(config)), pair_(make_control()),
          supervisor_(std::move(pair_.supervisor_end)), worker_(make_context(std::move(config))),
          wake_(eventfd(1, EFD_NONBLOCK | EFD_CLOEXEC)) {
        publish_primary();
        wake_event_.arm<&WorkerHarness::on_wake>(worker_.loop(), wake_.get(), EV_READ, this);
        worker_.start();
    }
    ~WorkerHarness() { check_the_end(); }
    WorkerHarness(const WorkerHarness &) = delete;
    WorkerHarness &operator=(const WorkerHarness &) = delete;

    Worker &worker() { return worker_; }
    SharedState &shared() { return state_; }
    ControlChannel &supervisor() { return supervisor_; }

    // `send_buffer`: how much the kernel takes for the client at a time; 0: as usual.
    Client &connect(int send_buffer = 0) {
        int ends[2];
        require(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) == 0, "a socketpair");
        if (send_buffer > 0) {
            require(setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &send_buffer, sizeof send_buffer) == 0, "a buffer size");
        }
        clients_.push_back(std::make_unique<Client>());
        clients_.back()->fd_ = UniqueFd(ends[1]);
        worker_.add_client(UniqueFd(ends[0]), PeerAddress{});
        return *clients_.back();
    }

    // One turn of the worker; bytes move on both sides of it. False: nothing did.
    bool turn() {
        bool moved = false;
        for (const auto &client : clients_) {
            moved |= push(*client);
        }
        running_ = running_ && worker_.turn();
        moved |= serve();
        for (const auto &client : clients_) {
            moved |= pull(*client);
        }
        return moved;
    }
    // Until nobody has anything more to say.
    void settle() {
        for (int quiet = 0, turns = 0; quiet < 2; turns++) {
            quiet = turn() ? 0 : quiet + 1;
            require(turns < 100000, "that it comes to an end");
        }
    }
    // What waits for time to pass happens: the worker looks every 100 ms, and tries again after that.
    void pass(std::chrono::milliseconds time) {
        virtual_system.now += time;
        settle();
    }
    bool running() const { return running_; }

    void kill_servers() { servers_.clear(); }
    void servers_refuse(bool refuse) { virtual_system.refuses_connections = refuse; }
    void servers_silent(bool silent) { servers_silent_ = silent; }
    // What servers say arrives so many bytes at a time, one piece a turn.
    void servers_in_pieces(size_t bytes) { server_piece_ = bytes; }
    size_t server_count() const { return servers_.size(); }

    // Enough for the worker to look at everything twice.
    static constexpr std::chrono::milliseconds kAWhile{250};

  private:
    struct Server {
        UniqueFd fd;
        std::unique_ptr<Conversation> conversation;
        std::string unsent;
    };

    static SharedState make_state(const Config &config) {
        virtual_system = {};
        auto state = SharedState::create(
            {.workers = 1, .max_pool = static_cast<uint32_t>(config.max_pool), .sessions_per_worker = 8, .nodes = 1});
        require(static_cast<bool>(state), "shared memory");
        return std::move(*state);
    }
    static ControlChannel::Pair make_control() {
        auto pair = ControlChannel::make_pair();
        require(static_cast<bool>(pair), "a control channel");
        return std::move(*pair);
    }
    WorkerContext make_context(Config config) {
        WorkerContext context{.config = std::move(config),
                              .shared = &state_,
                              .index = 0,
                              .generation = state_.begin_worker(0),
                              .listeners = {},
                              .control = std::move(pair_.child_end)};
        return context;
    }
    void publish_primary() {
        NodeSnapshot node;
        node.status = NodeStatus::up;
        node.role = NodeRole::primary;
        node.hostname.set("/nowhere"); // a socket directory, so that no name is looked up
        state_.publish_nodes({&node, 1}, 0);
    }
    void on_wake(short) {} // always ready, so that no turn waits

    bool push(Client &client) {
        if (!client.fd_ || client.unsent_.empty()) {
            return false;
        }
        const ssize_t n = ::send(client.fd_.get(), client.unsent_.data(), client.unsent_.size(), MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN) {
            client.unsent_.clear(); // the worker has hung up; what it said last is still there
        }
        client.unsent_.erase(0, n < 0 ? 0 : static_cast<size_t>(n));
        return n > 0;
    }
    bool pull(Client &client) {
        bool moved = false;
        while (client.fd_ && client.reading_ && !client.closed_) {
            const ssize_t n = recv(client.fd_.get(), scratch_, sizeof scratch_, 0);
            if (n < 0 && errno == EAGAIN) {
                break;
            }
            moved = true;
            if (n <= 0) {
                client.closed_ = true;
                break;
            }
            client.heard_.take({scratch_, static_cast<size_t>(n)});
        }
        return moved;
    }
    bool serve() {
        bool moved = false;
        for (UniqueFd &fd : std::exchange(virtual_system.connected, {})) {
            servers_.push_back(std::make_unique<Server>());
            servers_.back()->fd = std::move(fd);
            servers_.back()->conversation = make_server_();
            servers_.back()->unsent = servers_.back()->conversation->take({});
            moved = true;
        }
        for (const auto &server : servers_) {
            moved |= serve(*server);
        }
        std::erase_if(servers_, [](const auto &server) { return !server->fd; });
        return moved;
    }
    bool serve(Server &server) {
        bool moved = false;
        while (!servers_silent_ && server.fd && !server.conversation->over()) {
            const ssize_t n = recv(server.fd.get(), scratch_, sizeof scratch_, 0);
            if (n < 0 && errno == EAGAIN) {
                break;
            }
            moved = true;
            if (n <= 0) {
                server.fd.reset();
                break;
            }
            server.unsent += server.conversation->take({scratch_, static_cast<size_t>(n)});
        }
        if (server.fd && !server.unsent.empty()) {
            const size_t size = std::min(server.unsent.size(), server_piece_);
            const ssize_t n = ::send(server.fd.get(), server.unsent.data(), size, MSG_NOSIGNAL);
            if (n < 0 && errno == EAGAIN) {
                return moved;
            }
            moved = true;
            if (n < 0) {
                server.fd.reset();
            } else {
                server.unsent.erase(0, static_cast<size_t>(n));
            }
        }
        if (server.fd && server.unsent.empty() && server.conversation->over()) {
            server.fd.reset();
            moved = true;
        }
        return moved;
    }

    // Without clients nothing of a session is left: not in the tables, not in the counters, not at the server. Without
    // servers nothing but what a worker begins with.
    void check_the_end() {
        servers_silent_ = false;
        for (const auto &client : clients_) {
            client->hang_up();
        }
        pass(kAWhile);
        if (!running_) {
            return; // it was told to end, and has closed everything itself
        }
        const WorkerCountersShm &counters = worker_.counters();
        require(worker_.session_count() == 0, "sessions go with their clients");
        require(counters.clients == 0, "clients are counted down");
        require(counters.waiting == 0 && worker_.pools().waiting() == 0, "nobody waits any more");
        require(counters.active_connections == 0, "leases end with their sessions");
        for (const auto &client : clients_) {
            const uint64_t key = uint64_t{client->heard().key_pid()} << 32 | client->heard().key_secret();
            require(key == 0 || !state_.find_cancel_key(key), "cancel keys go with their sessions");
        }
        for (int slot = 0; slot < worker_.pools().slot_count(); slot++) {
            if (const ServerConnection *server = worker_.pools().at(slot)) {
                require(server->session() == nullptr, "no server connection belongs to a session");
                require(server->state() != ServerConnection::State::idle || server->quiet(),
                        "idle servers owe nothing");
            }
        }
        servers_refuse(true);
        kill_servers();
        pass(kAWhile);
        require(worker_.pools().open_connections() == 0, "servers are counted down");
        require(worker_.parameters().size() == 1, "nothing is remembered of settings that nobody has");
    }

    MakeServer make_server_;
    SharedState state_;
    ControlChannel::Pair pair_;
    ControlChannel supervisor_;
    Worker worker_;
    UniqueFd wake_;
    IoEvent wake_event_;
    std::vector<std::unique_ptr<Client>> clients_;
    std::vector<std::unique_ptr<Server>> servers_;
    bool servers_silent_ = false;
    size_t server_piece_ = SIZE_MAX;
    bool running_ = true;
    char scratch_[65536];
};

} // namespace pgbalancer::test
