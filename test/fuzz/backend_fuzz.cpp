// Servers that say anything: whatever a server answers, during its login or after it, the worker survives, a client
// hears nothing but messages and no row that no server has sent, and nothing is left when both have gone.
//
// Two clients play a fixed script, the server's words are the input. FE ED cuts it: what is behind is said only when
// the server has heard something more. The first byte chooses script and settings.
#include "support/worker_fuzzing.h"

#include <cstdint>

namespace {

using namespace pgbalancer;
using namespace pgbalancer::test;

enum Settings : uint8_t {
    kScript = 7, // which of kScripts
    kFuzzedLogin = 8,
    kInPieces = 16,
    kHangsUp = 32, // when it has nothing more to say
    kSessionMode = 64,
};

// What a client says, up to the points where it waits for answers. {name} … is a message each, see said_as().
using Script = std::vector<std::string>;

std::string query(std::string_view text) {
    std::string out;
    append_query(out, text);
    return out;
}
std::string parse(std::string_view name, std::string_view text) {
    std::string out;
    MessageWriter(out).begin('P').string(name).string(text).u16(0).end();
    return out;
}
std::string describe(std::string_view name) {
    std::string out;
    MessageWriter(out).begin('D').u8('S').string(name).end();
    return out;
}
std::string execute(std::string_view name) { // with its Bind
    std::string out;
    MessageWriter w(out);
    w.begin('B').string("").string(name).u16(0).u16(1).u32(3).bytes("abc").u16(0).end();
    w.begin('E').string("").u32(0).end();
    return out;
}
std::string plain(std::string_view types, std::string_view body = {}) {
    std::string out;
    for (const char type : types) {
        MessageWriter(out).begin(type).bytes(body).end();
    }
    return out;
}

const std::vector<Script> &scripts() {
    static const std::vector<Script> all = {
        {query("SELECT 1"), query("SELECT 2; SELECT 3") + query("SELECT 4"), query("")},
        {parse("s", "SELECT $1") + describe("s") + execute("s") + plain("S"), execute("s") + execute("s") + plain("HS"),
         parse("t", "SELECT $1, 2") + parse("u", "SELECT $1, 3") + execute("t") + plain("S"),
         describe("s") + execute("s") + plain("S")},
        {query("COPY t FROM STDIN"), plain("ddc", "1\n") + query("COPY t TO STDOUT"),
         parse("", "COPY t FROM STDIN") + execute("") + plain("S") + plain("d", "2\n"), plain("cS")},
        {query("BEGIN"), query("SET work_mem = '1MB'") + query("SELECT unknown_function()"), query("COMMIT"),
         query("SET application_name = 'x'"), query("RESET ALL"), query("DISCARD ALL")},
        {query("LISTEN a"), query("SELECT nextval('s')"), query("CREATE TABLE t ()"), query("UNLISTEN *"),
         query("SELECT currval('s')"), query("PREPARE p AS SELECT 1"), query("EXECUTE p")},
        {query("BEGIN") + execute("nothing") + query("SELECT 1") + plain("S"),
         parse("b", "BEGIN") + execute("b") + plain("S"), parse("", "SELECT 1") + plain("H"), execute("") + plain("S"),
         plain("F", std::string_view("\0\0\0\1\0\0\0\0\0\0", 10))},
        {parse("a", "SELECT $1") + describe("a") + plain("S"), query("SELECT sets_something()"),
         execute("a") + plain("S"), query("DEALLOCATE ALL"), execute("a") + plain("S")},
        {"replication", plain("Q", std::string_view("IDENTIFY_SYSTEM\0", 16)), plain("dc", "x")},
    };
    return all;
}

// Logs in as it should, unless that is to be fuzzed too, and then says the input.
struct Words {
    std::string_view rest;
    std::string said;
    uint8_t settings;

    std::string next() {
        const std::string words(take_piece(rest));
        said += words;
        return words;
    }
};
class Backend final : public Conversation {
  public:
    explicit Backend(Words &words) : words_(words), logged_in_((words.settings & kFuzzedLogin) != 0) {}
    std::string take(std::string_view bytes) override {
        if (!logged_in_) {
            std::string login = login_.take(bytes);
            logged_in_ = !login.empty();
            return login;
        }
        return bytes.empty() ? std::string() : words_.next();
    }
    bool over() const override {
        return login_.over() || (logged_in_ && words_.rest.empty() && (words_.settings & kHangsUp) != 0);
    }

  private:
    Words &words_;
    bool logged_in_;
    ModelServer login_;
};

// Secrets for a server that asks: one of each kind it may ask for.
constexpr std::string_view kPasswords = "md5:md50123456789abcdef0123456789abcdef\n"
                                        "scram:SCRAM-SHA-256$1:c2FsdA==$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=:"
                                        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n"
                                        "plain:TEXTsecret\n";

class Scene {
  public:
    Scene(const std::string &passwords, uint8_t settings, std::string_view input)
        : settings_(settings), words_{input, {}, settings},
          harness_(config(settings, passwords), [this] { return std::make_unique<Backend>(words_); }) {
        if ((settings & kInPieces) != 0) {
            harness_.servers_in_pieces(7);
        }
    }

    void play() {
        const Script &script = scripts()[settings_ & kScript];
        const bool replication = script[0] == "replication";
        WorkerHarness::Client *clients[2] = {&harness_.connect(), &harness_.connect()};
        clients[0]->send(startup(replication));
        harness_.settle();
        clients[1]->send(startup(false));
        for (size_t i = replication ? 1 : 0; i < script.size(); i++) {
            clients[0]->send(script[i]);
            harness_.settle();
            clients[1]->send(script[(i + 1) % script.size()]);
            harness_.settle();
        }
        harness_.pass(WorkerHarness::kAWhile);
        clients[0]->hang_up();
        harness_.pass(WorkerHarness::kAWhile);
        if (!replication) {
            check(*clients[0]);
        }
        check(*clients[1]);
        words_.rest = {};
        words_.settings |= kHangsUp;
        harness_.kill_servers();
        harness_.pass(WorkerHarness::kAWhile);
    }

  private:
    static Config config(uint8_t settings, const std::string &passwords) {
        Config config = WorkerHarness::small_config();
        config.pool_mode = (settings & kSessionMode) != 0 ? PoolMode::session : PoolMode::transaction;
        config.pool_passwd = (settings & kFuzzedLogin) != 0 ? passwords : "";
        return config;
    }
    // With a fuzzed login the other settings choose the user, and so the secret.
    std::string startup(bool replication) const {
        static constexpr const char *kUsers[] = {"md5", "scram", "plain", "nobody"};
        std::string packet;
        MessageWriter w(packet);
        w.begin_untyped().u32(3 << 16).string("user").string(kUsers[settings_ >> 6]);
        if (replication) {
            w.string("replication").string("true");
        }
        w.string("application_name").string("client").u8(0).end();
        return packet;
    }
    void check(const WorkerHarness::Client &client) const {
        const Transcript &heard = client.heard(); // perhaps in the middle of a message, if the server fell silent there
        require(!heard.broken(), "what a client hears are messages");
        for (const std::string &entry : heard.entries()) {
            if ((entry[0] == 'D' || entry[0] == 'd') && words_.said.find(entry.substr(2)) == std::string::npos) {
                heard.print("heard: ");
                require(false, "rows are a server's");
            }
        }
    }

    uint8_t settings_;
    Words words_;
    WorkerHarness harness_;
};

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const MemoryFile passwords(kPasswords);
    if (size > 0) {
        Scene scene(passwords.path(), data[0], {reinterpret_cast<const char *>(data) + 1, size - 1});
        scene.play();
    }
    return 0;
}
