// Clients that say anything: whatever comes over two client connections, the worker survives, a well-meant Sync is
// answered, and nothing of a session that has gone is noticed by whoever comes next.
//
// The input is what the clients send, after a login, on one server connection between them. Where FE ED stands in it
// the stream is cut, and the byte behind says what happens there: see act(). The first byte chooses the settings.
#include "support/worker_fuzzing.h"

#include <cstdint>

namespace {

using namespace pgbalancer;
using namespace pgbalancer::test;

constexpr std::chrono::seconds kLimit{10};

enum Settings : uint8_t {
    kTwoServers = 1,
    kEagerBegin = 2,
    kSessionMode = 4,
    kLittleAtATime = 8, // towards the clients
    kAskSecond = 16,    // the Sync at the end is the second client's
    kTimeLimits = 32,
};

class Scene {
  public:
    explicit Scene(uint8_t settings)
        : settings_(settings), harness_(config(settings), [] { return std::make_unique<ModelServer>(); }) {
        for (auto &client : clients_) {
            client = &harness_.connect((settings & kLittleAtATime) != 0 ? 4096 : 0);
        }
        clients_[0]->send(startup_packet({{"user", "fuzz"}, {"application_name", "first"}}));
        clients_[1]->send(startup_packet({{"user", "fuzz"}, {"work_mem", "second"}}));
    }

    void play(std::string_view input) {
        say(take_piece(input));
        while (!input.empty()) {
            act(input[0]);
            input.remove_prefix(1);
            say(take_piece(input));
        }
        harness_.servers_silent(false);
        harness_.servers_refuse(false);
        for (auto *client : clients_) {
            client->read_again();
        }
        harness_.pass(WorkerHarness::kAWhile);
        check((settings_ & kAskSecond) != 0 ? 1 : 0);
    }

  private:
    static Config config(uint8_t settings) {
        Config config = WorkerHarness::small_config();
        config.max_pool = (settings & kTwoServers) != 0 ? 2 : 1;
        config.lazy_begin = (settings & kEagerBegin) == 0;
        config.pool_mode = (settings & kSessionMode) != 0 ? PoolMode::session : PoolMode::transaction;
        if ((settings & kTimeLimits) != 0) {
            config.connect_timeout = config.authentication_timeout = config.query_wait_timeout = kLimit;
            config.client_idle_limit = config.idle_transaction_timeout = config.connection_life_time = kLimit;
        }
        return config;
    }

    void say(std::string_view bytes) {
        clients_[who_]->send(bytes);
        said_[who_] += bytes;
    }
    void act(char what) {
        switch (what) {
        case '0':
        case '1': who_ = what - '0'; break;
        case '.': harness_.settle(); break;
        case ',': harness_.turn(); break;
        case 's': harness_.servers_silent(true); break;
        case 'S': harness_.servers_silent(false); break;
        case 'x': harness_.servers_refuse(true); break;
        case 'X': harness_.servers_refuse(false); break;
        case 'r': clients_[who_]->stop_reading(); break;
        case 'R': clients_[who_]->read_again(); break;
        case 'h': clients_[who_]->hang_up(); break;
        case 'k': harness_.kill_servers(); break;
        case 'c': cancel(); break;
        case 't': harness_.pass(std::chrono::milliseconds(110)); break;
        case 'T': harness_.pass(kLimit); break;
        case 'd': harness_.shared().defaults_generation()++; break;
        case 'f': harness_.shared().facts_generation()++; break;
        case 'b': squeeze(); break;
        case 'q':
            ending_ = true;
            require(harness_.supervisor().send_body(ControlType::shut_down, ShutDownBody{ShutDownMode::smart}),
                    "told to end");
            break;
        default: break;
        }
    }
    void cancel() {
        const Transcript &heard = clients_[who_]->heard();
        std::string packet;
        MessageWriter(packet).begin_untyped().u32(80877102).u32(heard.key_pid()).u32(heard.key_secret()).end();
        harness_.connect().send(packet);
    }
    // The servers' kernels take little from now on.
    void squeeze() {
        const int little = 4096;
        for (int slot = 0; slot < harness_.worker().pools().slot_count(); slot++) {
            if (const ServerConnection *server = harness_.worker().pools().at(slot)) {
                (void)setsockopt(server->descriptor(), SOL_SOCKET, SO_SNDBUF, &little, sizeof little);
            }
        }
    }

    void check(int i) {
        for (const auto *client : clients_) {
            require(!client->heard().broken(), "what a client hears are messages");
            require(client->heard().whole() || client->closed(), "what a client hears are whole messages");
        }
        clients_[1 - i]->hang_up(); // it may have the server connection
        harness_.pass(WorkerHarness::kAWhile);
        if (!ending_) {
            check_sync(*clients_[i], said_[i]);
            clients_[i]->hang_up();
            harness_.pass(WorkerHarness::kAWhile);
            check_newcomer(harness_, "fuzz");
        }
    }
    // A client that has said whole messages and is still there gets an answer to a Sync.
    void check_sync(WorkerHarness::Client &client, std::string_view said) {
        if (client.closed() || !between_messages(said)) {
            return;
        }
        const size_t before = client.heard().ready_count();
        std::string end;
        MessageWriter w(end);
        w.begin('f').string("enough").end();
        w.begin('S').end();
        client.send(end);
        harness_.settle();
        if (!client.closed() && client.heard().ready_count() == before) {
            client.heard().print("heard: ");
            require(false, "a Sync is answered");
        }
    }
    static bool between_messages(std::string_view said) {
        while (said.size() >= kHeaderBytes) {
            const MessageHeader header = read_header(said.data());
            if (header.length < 4 || header.total() > said.size()) {
                return false;
            }
            said.remove_prefix(header.total());
        }
        return said.empty();
    }

    uint8_t settings_;
    WorkerHarness harness_;
    WorkerHarness::Client *clients_[2];
    std::string said_[2];
    int who_ = 0;
    bool ending_ = false; // told to, when the clients have gone
};

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size > 0) {
        Scene scene(data[0]);
        scene.play({reinterpret_cast<const char *>(data) + 1, size - 1});
    }
    return 0;
}
