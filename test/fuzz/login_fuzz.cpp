// Clients that log in, or do not: nobody gets in without the right answer, whoever is refused is told why, nobody stays
// who says nothing, and others are served as before.
//
// The input is what one client sends from its first packet on. FE ED cuts it, and the byte behind says what happens
// there: see act(). The first byte chooses the settings. The user's name decides how it is asked for its password.
#include "child/auth_md5.h"
#include "child/auth_scram.h"
#include "child/startup.h"
#include "support/worker_fuzzing.h"

#include <optional>

namespace {

using namespace pgbalancer;
using namespace pgbalancer::test;

constexpr std::chrono::seconds kLimit{10};

constexpr std::string_view kRules = "local all,replication trusted trust\n"
                                    "local all rejected reject\n"
                                    "local all password,nobody password\n"
                                    "local all md5 md5\n"
                                    "local all,replication scram,locked scram-sha-256\n";
constexpr std::string_view kSecret = "secret";
constexpr std::string_view kPasswords = "password:TEXTsecret\nmd5:TEXTsecret\nscram:TEXTsecret\n"
                                        "locked:SCRAM-SHA-256$1:c2FsdA==$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=:"
                                        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n";

enum Settings : uint8_t {
    kByteByByte = 1,
    kSessionMode = 2,
    kServerRefuses = 4,
    kFewClients = 8,
    kFewOfAUser = 16,
};

std::string or_nothing(const Result<std::string> &text) { return text ? *text : std::string(); }

class Scene {
  public:
    Scene(const std::string &rules, const std::string &passwords, uint8_t settings)
        : settings_(settings),
          harness_(config(rules, passwords, settings), [] { return std::make_unique<ModelServer>(); }),
          neighbour_(harness_.connect()), client_(harness_.connect()) {
        neighbour_.send(startup_packet({{"user", "trusted"}}));
        harness_.settle();
        harness_.servers_refuse((settings & kServerRefuses) != 0);
    }

    void play(std::string_view input) {
        say(take_piece(input));
        while (!input.empty()) {
            act(input[0]);
            input.remove_prefix(1);
            say(take_piece(input));
        }
        harness_.settle();
        check_answer();
        harness_.pass(kLimit); // to authenticate
        harness_.pass(kLimit); // to wait for a server
        require(client_.closed() || client_.heard().ready_count() > 0, "nobody stays who does not log in");
        harness_.servers_silent(false);
        harness_.servers_refuse(false);
        client_.hang_up();
        harness_.pass(WorkerHarness::kAWhile);
        check_neighbour();
        check_newcomer(harness_, "trusted");
    }

  private:
    static Config config(const std::string &rules, const std::string &passwords, uint8_t settings) {
        Config config = WorkerHarness::small_config();
        config.enable_pool_hba = true;
        config.pool_hba_file = rules;
        config.pool_passwd = passwords;
        config.authentication_timeout = config.query_wait_timeout = kLimit;
        config.pool_mode = (settings & kSessionMode) != 0 ? PoolMode::session : PoolMode::transaction;
        config.max_pool = 2;
        config.max_client_conn = (settings & kFewClients) != 0 ? 1 : 100;
        config.max_user_client_connections = (settings & kFewOfAUser) != 0 ? 1 : 0;
        return config;
    }

    void say(std::string_view bytes) {
        said_ += bytes;
        if ((settings_ & kByteByByte) == 0) {
            client_.send(bytes);
            return;
        }
        for (const char &byte : bytes) {
            client_.send({&byte, 1});
            (void)harness_.turn();
        }
    }
    void act(char what) {
        switch (what) {
        case '.': harness_.settle(); break;
        case 'p': answer(); break;
        case 't': harness_.pass(WorkerHarness::kAWhile); break;
        case 'h': client_.hang_up(); break;
        case 'x': harness_.servers_refuse(true); break;
        case 'X': harness_.servers_refuse(false); break;
        case 's': harness_.servers_silent(true); break;
        case 'S': harness_.servers_silent(false); break;
        case 'c': cancel(); break;
        default: break;
        }
    }
    void cancel() {
        const Transcript &heard = neighbour_.heard();
        std::string packet;
        MessageWriter(packet).begin_untyped().u32(80877102).u32(heard.key_pid()).u32(heard.key_secret()).end();
        say(packet);
    }

    // What a client says that knows the password.
    void answer() {
        harness_.settle();
        FieldReader request(client_.heard().authentication());
        const uint32_t code = request.u32();
        const std::string_view data = request.rest();
        std::string body;
        switch (code) {
        case 3: body = std::string(kSecret) + '\0'; break;
        case 5: {
            Md5Salt salt{};
            data.copy(reinterpret_cast<char *>(salt.data()), salt.size());
            const auto response = md5_response(PlainSecret{SecretText(kSecret)}, user().value_or(""), salt);
            body = response ? std::string(response->view()) + '\0' : "";
            break;
        }
        case 10: body = or_nothing(scram_.on_mechanisms(data)); break;
        case 11: body = or_nothing(scram_.on_continue(data)); break;
        default: return;
        }
        std::string message;
        MessageWriter(message).begin('p').bytes(body).end();
        client_.send(message);
        answered_ = true;
    }
    // Who the client says it is.
    std::optional<std::string> user() const {
        std::string_view rest = said_;
        while (rest.size() >= 4) {
            const auto length = startup_length(rest);
            if (!length || *length > rest.size()) {
                break;
            }
            const auto first = read_first_packet(rest.substr(0, *length));
            if (const auto *startup = first ? std::get_if<StartupMessage>(&*first) : nullptr) {
                return startup->user;
            }
            rest.remove_prefix(*length);
        }
        return std::nullopt;
    }

    void check_answer() const {
        const Transcript &heard = client_.heard();
        require(!heard.broken() && heard.whole(), "what a client hears are whole messages");
        require(heard.ready_count() == 0 || may_be_in(), "nobody gets in without the right answer");
        if (client_.ended_by_worker() && heard.ready_count() == 0) {
            require(heard.fatal() || is_cancel_request(), "who is refused is told why");
        }
    }
    bool may_be_in() const {
        const auto name = user();
        const bool knows = answered_ || said_.find(kSecret) != std::string::npos;
        return name && (*name == "trusted" || ((*name == "password" || *name == "md5" || *name == "scram") && knows));
    }
    bool is_cancel_request() const { return said_.find("\x04\xd2\x16\x2e") != std::string::npos; }
    void check_neighbour() {
        const size_t before = neighbour_.heard().ready_count();
        require(before == 1, "the first client is in");
        std::string query;
        append_query(query, "SELECT 1");
        neighbour_.send(query);
        harness_.pass(WorkerHarness::kAWhile);
        require(!neighbour_.closed() && neighbour_.heard().ready_count() == 2, "others are served as before");
        neighbour_.hang_up();
        harness_.pass(WorkerHarness::kAWhile);
    }

    uint8_t settings_;
    WorkerHarness harness_;
    WorkerHarness::Client &neighbour_;
    WorkerHarness::Client &client_;
    KeyCache keys_{Key()};
    ScramClient scram_{PlainSecret{SecretText(kSecret)}, keys_};
    std::string said_; // without right answers
    bool answered_ = false;
};

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const MemoryFile rules(kRules), passwords(kPasswords);
    if (size > 0) {
        Scene scene(rules.path(), passwords.path(), data[0]);
        scene.play({reinterpret_cast<const char *>(data) + 1, size - 1});
    }
    return 0;
}
