// When a child that ended is replaced.
#include "main/spawn_policy.h"

#include <csignal>
#include <string>

#include "unit/cmocka_cpp.h"

namespace {

using namespace pgbalancer;
using namespace std::chrono_literals;

constexpr int exited(int code) { return code << 8; } // as waitpid has it
constexpr int kKilled = SIGKILL;

struct Case {
    const char *what;
    ChildEnd end;
    SpawnAction action;
    std::chrono::milliseconds delay = 0ms;
    int exit_code = 0;
};

ChildEnd end(int status, int quick_deaths, bool service_ready, bool needed = true) {
    return {.wait_status = status,
            .lifetime = quick_deaths > 0 ? 0s : 1h,
            .quick_deaths = quick_deaths,
            .service_ready = service_ready,
            .needed_to_serve = needed};
}

void decisions(void **) {
    const Case cases[] = {
        {"killed after a long life", end(kKilled, 0, true), SpawnAction::replace},
        {"killed soon, once", end(kKilled, 1, true), SpawnAction::replace},
        {"twice", end(kKilled, 2, true), SpawnAction::replace, 100ms},
        {"three times", end(exited(1), 3, true), SpawnAction::replace, 200ms},
        {"seven times", end(exited(1), 7, true), SpawnAction::replace, 3200ms},
        {"ever again", end(exited(1), 1000000, true), SpawnAction::replace, 5000ms},
        {"an ordered end that nobody asked for", end(exited(0), 0, true), SpawnAction::replace},
        {"again and again before the service was ready", end(exited(1), 5, false), SpawnAction::stop_service, 0ms, 1},
        {"less often before it was", end(exited(1), 4, false), SpawnAction::replace, 400ms},
        {"do not restart me, at start", end(exited(2), 1, false, false), SpawnAction::stop_service, 0ms, 2},
        {"do not restart me, one of several", end(exited(2), 0, true, false), SpawnAction::abandon},
        {"do not restart me, the last one", end(exited(2), 0, true, true), SpawnAction::stop_service, 0ms, 2},
        {"killed by signal 2, which is not exit code 2", end(SIGINT, 1, false), SpawnAction::replace},
    };
    for (const Case &c : cases) {
        const SpawnDecision decision = decide_spawn(c.end);
        if (decision.action != c.action || decision.delay != c.delay || decision.exit_code != c.exit_code) {
            fail_msg("%s: action %d, delay %lld, exit code %d", c.what, static_cast<int>(decision.action),
                     static_cast<long long>(decision.delay.count()), decision.exit_code);
        }
    }
}

void a_life_of_two_seconds_is_not_quick(void **) {
    assert_true(is_quick_death(1999ms));
    assert_false(is_quick_death(2000ms));
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(decisions),
        cmocka_unit_test(a_life_of_two_seconds_is_not_quick),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
