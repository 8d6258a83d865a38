// A node's checks: retries, statistics, suspicion, and what is reported.
#include "health/node_checker.h"

#include "common/log.h"
#include "unit/health_scripted_server.h"

#include <cstring>

#include "unit/cmocka_cpp.h"

namespace {

using namespace pgbalancer;
using namespace pgbalancer::test;
using namespace std::chrono_literals;

struct Fixture : NodeChecker::Owner {
    EventLoop loop;
    ScriptedServer server{loop};
    SharedState shared =
        std::move(*SharedState::create({.workers = 1, .max_pool = 1, .sessions_per_worker = 1, .nodes = 1}));
    Config config;
    std::unique_ptr<NodeChecker> checker;
    int reports = 0;
    int concluded = 0;
    bool channel_full = false;

    explicit Fixture(std::deque<std::string> script, int retries = 0, std::chrono::milliseconds period = 1h) {
        server.script = std::move(script);
        config.backends.resize(1);
        config.backends[0].hostname = "127.0.0.1";
        config.backends[0].port = server.port;
        config.health_check_user = "health";
        config.health_check_period = period;
        config.health_check_max_retries = retries;
        config.health_check_retry_delay = 1ms;
        restart();
    }
    void restart() {
        checker = std::make_unique<NodeChecker>(loop, shared, config, 0, static_cast<NodeChecker::Owner &>(*this));
    }

    bool report(int) override {
        reports += channel_full ? 0 : 1;
        return !channel_full;
    }
    void on_check_concluded() override { concluded++; }

    // The observation after that many checks, and nothing if the loop came to rest before.
    NodeObservation after(int checks) {
        while (concluded < checks && loop.turn()) {
        }
        NodeObservation seen;
        if (!shared.read_observation(0, seen)) {
            seen.outcome = ProbeOutcome::none;
        }
        return seen;
    }
};

void the_first_check_begins_at_once(void **) {
    Fixture f({kLoggedIn, answer("t")});
    const bool before = f.checker->concluded();
    const NodeObservation seen = f.after(1);
    assert_false(before);
    assert_true(f.checker->concluded());
    assert_true(seen.outcome == ProbeOutcome::answered && seen.in_recovery);
    assert_int_equal(seen.server_version, 150003);
    assert_int_equal(seen.checks, 1);
    assert_int_equal(seen.successes, 1);
    assert_true(seen.last_check_us > 0 && seen.min_duration_us > 0 && seen.min_duration_us == seen.max_duration_us);
    assert_int_equal(f.reports, 1);
}

void a_failure_counts_after_its_retries(void **) {
    Fixture f({kHangUp, kHangUp, kHangUp}, 2);
    const NodeObservation seen = f.after(1);
    assert_int_equal(f.server.connections, 3);
    assert_true(seen.outcome == ProbeOutcome::failed);
    assert_int_equal(seen.retries, 2);
    assert_int_equal(seen.checks, 1);
    assert_int_equal(seen.failures, 1);
    assert_int_equal(seen.consecutive_failures, 1);
    assert_false(seen.last_error.view().empty());
}

void a_retry_that_succeeds_is_a_success(void **) {
    Fixture f({kHangUp, kLoggedIn, answer("f")}, 2);
    const NodeObservation seen = f.after(1);
    assert_true(seen.outcome == ProbeOutcome::answered);
    assert_int_equal(seen.retries, 1);
    assert_int_equal(seen.failures, 0);
}

void only_news_is_reported(void **) {
    Fixture f({kLoggedIn, answer("f"), answer("f"), answer("f"), answer("t")}, 0, 1ms);
    f.after(3);
    const int for_the_same = f.reports;
    f.after(4);
    assert_int_equal(for_the_same, 1);
    assert_int_equal(f.reports, 2);
}

void what_could_not_be_reported_is_offered_again(void **) {
    Fixture f({kLoggedIn, answer("f"), answer("f"), answer("f")}, 0, 1ms);
    f.after(1);
    f.channel_full = true;
    f.server.script = {answer("t"), answer("t"), answer("t")};
    f.after(2);
    const int while_full = f.reports;
    f.channel_full = false;
    f.after(3);
    assert_int_equal(while_full, 1);
    assert_int_equal(f.reports, 2);
}

// Periods of an hour: what happens is the suspicion's doing.
void suspicion_brings_a_check_forward(void **) {
    Fixture f({kLoggedIn, answer("f"), answer("t")});
    f.after(1);
    for (int i = 0; i < 1000; i++) {
        f.checker->suspect();
    }
    const NodeObservation seen = f.after(2);
    assert_true(seen.in_recovery);
    assert_int_equal(seen.checks, 2);
    assert_int_equal(f.server.connections, 1);
}

void suspicion_during_a_check_means_another(void **) {
    Fixture f({kLoggedIn, answer("f"), answer("t")});
    f.checker->suspect(); // the first check is under way, and may have got its answer already
    const NodeObservation seen = f.after(2);
    assert_true(seen.in_recovery);
}

void a_closed_connection_is_suspicious(void **) {
    Fixture f({kLoggedIn, answer("f")});
    f.after(1);
    f.server.stop_listening();
    f.server.close_clients();
    const NodeObservation seen = f.after(2);
    assert_true(seen.outcome == ProbeOutcome::failed);
    assert_int_equal(seen.checks, 2);
}

void a_successor_carries_on(void **) {
    Fixture f({kLoggedIn, answer("f")});
    f.after(1);
    f.server.script = {kLoggedIn, answer("f")};
    f.restart();
    const NodeObservation seen = f.after(2);
    assert_int_equal(seen.checks, 2);
    assert_int_equal(f.reports, 2); // a new process says what it saw first, in case nobody heard the old one
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
        cmocka_unit_test(the_first_check_begins_at_once),
        cmocka_unit_test(a_failure_counts_after_its_retries),
        cmocka_unit_test(a_retry_that_succeeds_is_a_success),
        cmocka_unit_test(only_news_is_reported),
        cmocka_unit_test(what_could_not_be_reported_is_offered_again),
        cmocka_unit_test(suspicion_brings_a_check_forward),
        cmocka_unit_test(suspicion_during_a_check_means_another),
        cmocka_unit_test(a_closed_connection_is_suspicious),
        cmocka_unit_test(a_successor_carries_on),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
