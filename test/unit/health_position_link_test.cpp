// Asking one server: one question at a time, how soon again after what, and what is lost with a connection.
#include "health/position_link.h"

#include "common/clock.h"
#include "common/log.h"
#include "unit/health_scripted_server.h"

#include <cstring>

#include "unit/cmocka_cpp.h"

namespace {

using namespace pgbalancer;
using namespace pgbalancer::test;
using namespace std::chrono_literals;

const std::string kPrepared = frame('C', std::string("PREPARE\0", 8)) + kReadyForQuery;

std::string length16(size_t n) { return {static_cast<char>(n >> 8), static_cast<char>(n)}; }

// A standby's answer at 0/5000000.
std::string standby_answer() {
    const char *values[] = {"t",        nullptr, nullptr,     "0/5000000", "0/5000000", "0.25",  "8192",
                            "16777216", "42",    "streaming", "1",         nullptr,     nullptr, nullptr};
    std::string description = length16(std::size(values));
    std::string row = description;
    for (const char *value : values) {
        description += std::string("c\0", 2) + length32(0) + length16(0) + length32(25) + length16(0xFFFF) +
                       length32(0xFFFFFFFF) + length16(0);
        row += value != nullptr ? length32(strlen(value)) + value : length32(0xFFFFFFFF);
    }
    return frame('T', description) + frame('D', row) + frame('C', std::string("SELECT 1\0", 9)) + kReadyForQuery;
}

struct Fixture : PositionLink::Owner {
    EventLoop loop;
    ScriptedServer server{loop};
    PositionLink link{loop, 0, 0, *this};
    TimerEvent period;
    TimerEvent end;
    int answers = 0;
    int losses = 0;
    PositionSample last;
    bool over = false;

    explicit Fixture(std::deque<std::string> script, std::chrono::milliseconds timeout = 5s) {
        server.script = std::move(script);
        link.configure(target(), timeout);
    }
    NodeTarget target() const {
        return {.host = "127.0.0.1", .port = server.port, .user = "health", .password = {}, .database = "postgres"};
    }
    void on_position(int, const PositionSample &sample) override {
        answers++;
        last = sample;
    }
    void on_position_lost(int) override { losses++; }

    // Asks every 10 ms.
    void run(std::chrono::milliseconds duration) {
        over = false;
        period.arm<&Fixture::on_period>(loop, 10ms, this, true);
        end.arm<&Fixture::on_end>(loop, duration, this);
        link.ask();
        while (!over && loop.turn()) {
        }
        period.disarm();
    }
    void on_period() { link.ask(); }
    void on_end() { over = true; }
};

void questions_follow_each_other_on_one_connection(void **) {
    Fixture f({kLoggedIn, kPrepared, standby_answer(), standby_answer(), standby_answer(), ""});
    const auto before = std::chrono::duration_cast<std::chrono::microseconds>(monotonic_now()).count();
    f.run(200ms);
    assert_int_equal(f.answers, 3);
    assert_int_equal(f.losses, 0);
    assert_int_equal(f.server.connections, 1);
    assert_true(f.last.in_recovery);
    assert_int_equal(f.last.lsn, 0x5000000);
    assert_in_range(f.last.asked_us, before, before + 200000);
}

// As a stopped process: the question is not repeated, and after a while what was known is given up.
void a_silent_server_is_asked_once(void **) {
    Fixture f({kLoggedIn, kPrepared, standby_answer(), "", kLoggedIn, kPrepared, standby_answer(), ""}, 400ms);
    f.run(250ms);
    const int answers = f.answers;
    const int losses = f.losses;
    const size_t unsaid = f.server.script.size();
    f.run(1500ms);
    assert_int_equal(answers, 1);
    assert_int_equal(losses, 0);
    assert_int_equal(unsaid, 4);
    assert_int_equal(f.answers, 2);
    assert_in_range(f.losses, 1, 2);
    assert_int_equal(f.server.connections, 2);
}

void a_lost_connection_is_opened_again_but_not_at_once(void **) {
    Fixture f({kLoggedIn, kPrepared, standby_answer(), kHangUp, kHangUp, kLoggedIn, kPrepared, standby_answer(), ""});
    f.run(900ms);
    const int connections = f.server.connections;
    const int losses = f.losses;
    f.run(1500ms);
    assert_int_equal(connections, 1);
    assert_int_equal(losses, 1);
    assert_int_equal(f.server.connections, 3);
    assert_int_equal(f.answers, 2);
}

void a_refusal_is_not_provoked_every_second(void **) {
    const std::string refusal = error("28P01", "password authentication failed");
    Fixture f({refusal, refusal, refusal, refusal});
    f.run(2500ms);
    assert_int_equal(f.server.connections, 2);
    assert_int_equal(f.answers, 0);
    // Whoever corrects the password need not wait.
    NodeTarget corrected = f.target();
    corrected.password = "secret";
    f.link.configure(corrected, 5s);
    f.server.script = {kLoggedIn, kPrepared, standby_answer(), ""};
    f.run(100ms);
    assert_int_equal(f.answers, 1);
}

void a_question_that_is_refused_leaves_nothing_known(void **) {
    Fixture f({kLoggedIn, kPrepared, standby_answer(), error("42501", "permission denied") + kReadyForQuery});
    f.run(200ms);
    assert_int_equal(f.answers, 1);
    assert_int_equal(f.losses, 1);
}

void nobody_to_ask(void **) {
    Fixture f({});
    f.link.configure(std::nullopt, 5s);
    f.run(50ms);
    assert_int_equal(f.server.connections, 0);
    assert_int_equal(f.answers + f.losses, 0);
}

} // namespace

int main() {
    LogOptions quiet;
    quiet.level = LogLevel::fatal;
    if (!log_configure(quiet)) {
        return 1;
    }
    forget_libpq_environment();
    const CMUnitTest tests[] = {
        cmocka_unit_test(questions_follow_each_other_on_one_connection),
        cmocka_unit_test(a_silent_server_is_asked_once),
        cmocka_unit_test(a_lost_connection_is_opened_again_but_not_at_once),
        cmocka_unit_test(a_refusal_is_not_provoked_every_second),
        cmocka_unit_test(a_question_that_is_refused_leaves_nothing_known),
        cmocka_unit_test(nobody_to_ask),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
