// The probe against servers that answer, refuse, talk nonsense, hang or go away. The server is a script in the same
// event loop: it sends fixed bytes when something arrives.
#include "health/node_probe.h"

#include "unit/health_scripted_server.h"

#include <cstring>

#include "unit/cmocka_cpp.h"

namespace {

using namespace pgbalancer;
using namespace pgbalancer::test;
using namespace std::chrono_literals;

struct Fixture : NodeProbe::Owner {
    EventLoop loop;
    ScriptedServer server{loop};
    NodeProbe probe{loop, *this};
    NodeProbeResult result;
    bool done = false;
    bool lost = false;

    void on_probe_result(const NodeProbeResult &r) override {
        result = r;
        done = true;
    }
    void on_probe_connection_lost() override { lost = true; }

    ProbeOutcome run(std::deque<std::string> script, std::chrono::milliseconds timeout = 5s,
                     const std::string &user = "health") {
        server.script = std::move(script);
        done = false;
        probe.start({.host = "127.0.0.1", .port = server.port, .user = user, .password = {}, .database = "postgres"},
                    timeout);
        const bool at_once = done;
        while (!done && loop.turn()) {
        }
        return at_once ? ProbeOutcome::none : result.outcome;
    }
};

void a_servers_role_is_learnt_over_one_connection(void **) {
    Fixture f;
    const ProbeOutcome first = f.run({kLoggedIn, answer("t")});
    const bool standby = f.result.in_recovery;
    const int version = f.result.server_version;
    const ProbeOutcome second = f.run({answer("f")});
    const bool primary = !f.result.in_recovery;
    assert_true(first == ProbeOutcome::answered && standby);
    assert_int_equal(version, 150003);
    assert_true(second == ProbeOutcome::answered && primary);
    assert_int_equal(f.server.connections, 1);
}

void refusals_tell_the_living_from_the_starting(void **) {
    const struct {
        const char *what;
        std::string reply;
        ProbeOutcome outcome;
    } cases[] = {
        {"starting", error("57P03", "the database system is starting up"), ProbeOutcome::starting},
        {"too many clients", error("53300", "sorry, too many clients already"), ProbeOutcome::alive},
        {"no such role", error("28000", "role \"health\" does not exist"), ProbeOutcome::alive},
        {"wants a password we do not have", frame('R', length32(3)), ProbeOutcome::alive},
        {"hangs up", kHangUp, ProbeOutcome::failed},
        {"is not PostgreSQL", "HTTP/1.1 400 Bad Request\r\n\r\n", ProbeOutcome::failed},
    };
    for (const auto &c : cases) {
        Fixture f;
        const ProbeOutcome outcome = f.run({c.reply});
        if (outcome != c.outcome || f.result.error.empty()) {
            fail_msg("%s: %d, \"%s\"", c.what, static_cast<int>(outcome), f.result.error.c_str());
        }
    }
}

void answers_that_are_none(void **) {
    const struct {
        const char *what;
        std::string reply;
        ProbeOutcome outcome;
    } cases[] = {
        {"neither yes nor no", answer("maybe"), ProbeOutcome::alive},
        {"no permission", error("42501", "permission denied") + kReadyForQuery, ProbeOutcome::alive},
        {"shut down just now", error("57P01", "terminating connection"), ProbeOutcome::starting},
        {"nothing but ready", kReadyForQuery, ProbeOutcome::failed},
        {"hangs up", kHangUp, ProbeOutcome::failed},
    };
    for (const auto &c : cases) {
        Fixture f;
        const ProbeOutcome outcome = f.run({kLoggedIn, c.reply});
        if (outcome != c.outcome) {
            fail_msg("%s: %d, \"%s\"", c.what, static_cast<int>(outcome), f.result.error.c_str());
        }
    }
}

void nobody_there(void **) {
    Fixture f;
    f.server.stop_listening();
    const ProbeOutcome outcome = f.run({});
    assert_true(outcome == ProbeOutcome::failed);
    assert_non_null(strstr(f.result.error.c_str(), "refused"));
}

void silence_ends_with_the_time_out(void **) {
    Fixture login;
    const ProbeOutcome during_login = login.run({""}, 50ms);
    Fixture query;
    const ProbeOutcome during_query = query.run({kLoggedIn, ""}, 50ms);
    const std::string why = query.result.error;
    // Whatever the hung connection was in, the next probe begins anew.
    const ProbeOutcome recovered = query.run({kLoggedIn, answer("f")});
    assert_true(during_login == ProbeOutcome::failed && during_query == ProbeOutcome::failed);
    assert_non_null(strstr(why.c_str(), "query in time"));
    assert_true(recovered == ProbeOutcome::answered);
    assert_int_equal(query.server.connections, 2);
}

// A restart between two probes: the dead connection says nothing about the server.
void a_kept_connection_that_died_is_not_held_against_the_server(void **) {
    Fixture f;
    const ProbeOutcome first = f.run({kLoggedIn, answer("f")});
    const ProbeOutcome second = f.run({kHangUp, kLoggedIn, answer("f")});
    const ProbeOutcome third = f.run({error("57P01", "terminating connection"), kLoggedIn, answer("t")});
    assert_true(first == ProbeOutcome::answered);
    assert_true(second == ProbeOutcome::answered);
    assert_true(third == ProbeOutcome::answered && f.result.in_recovery);
    assert_int_equal(f.server.connections, 3);
}

void a_connection_lost_between_probes_is_noticed(void **) {
    Fixture f;
    const ProbeOutcome first = f.run({kLoggedIn, answer("f")});
    f.server.close_clients();
    while (!f.lost && f.loop.turn()) {
    }
    const ProbeOutcome second = f.run({kLoggedIn, answer("f")});
    assert_true(first == ProbeOutcome::answered && f.lost);
    assert_true(second == ProbeOutcome::answered);
    assert_int_equal(f.server.connections, 2);
}

void another_user_means_another_connection(void **) {
    Fixture f;
    const ProbeOutcome first = f.run({kLoggedIn, answer("f")});
    const ProbeOutcome second = f.run({kLoggedIn, answer("f")}, 5s, "other");
    assert_true(first == ProbeOutcome::answered && second == ProbeOutcome::answered);
    assert_int_equal(f.server.connections, 2);
}

void the_environment_does_not_lead_elsewhere(void **) {
    setenv("PGHOSTADDR", "192.0.2.1", 1);
    setenv("PGOPTIONS", "-c nonsense", 1);
    forget_libpq_environment();
    assert_null(getenv("PGHOSTADDR"));
    assert_null(getenv("PGOPTIONS"));
}

} // namespace

int main() {
    forget_libpq_environment();
    const CMUnitTest tests[] = {
        cmocka_unit_test(a_servers_role_is_learnt_over_one_connection),
        cmocka_unit_test(refusals_tell_the_living_from_the_starting),
        cmocka_unit_test(answers_that_are_none),
        cmocka_unit_test(nobody_there),
        cmocka_unit_test(silence_ends_with_the_time_out),
        cmocka_unit_test(a_kept_connection_that_died_is_not_held_against_the_server),
        cmocka_unit_test(a_connection_lost_between_probes_is_noticed),
        cmocka_unit_test(another_user_means_another_connection),
        cmocka_unit_test(the_environment_does_not_lead_elsewhere),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
