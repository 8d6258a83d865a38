// The order in which everything ends.
#include "main/shutdown_policy.h"

#include "unit/cmocka_cpp.h"

namespace {

using namespace pgbalancer;
using namespace std::chrono_literals;
using enum ShutDownMode;

struct Case {
    const char *what;
    ShutdownView view;
    ShutdownStep step;
};

void steps(void **) {
    const Case cases[] = {
        {"smart waits for the sessions, a day if need be", {smart, 2, 1, false, 24h}, ShutdownStep::wait},
        {"smart, the workers have gone", {smart, 0, 1, false, 1h}, ShutdownStep::tell_others},
        {"the others are given time", {smart, 0, 1, true, 4s}, ShutdownStep::wait},
        {"and no more than that", {smart, 0, 1, true, 5s}, ShutdownStep::kill_all},
        {"fast gives the workers time", {fast, 1, 1, false, 9s}, ShutdownStep::wait},
        {"and no more than that", {fast, 1, 1, false, 10s}, ShutdownStep::kill_all},
        {"fast, the workers have gone late", {fast, 0, 1, false, 11s}, ShutdownStep::tell_others},
        {"immediate", {immediate, 2, 1, false, 0s}, ShutdownStep::kill_all},
        {"immediate, only others", {immediate, 0, 1, false, 0s}, ShutdownStep::kill_all},
        {"nobody left", {smart, 0, 0, false, 0s}, ShutdownStep::finish},
        {"nobody left", {immediate, 0, 0, true, 1h}, ShutdownStep::finish},
    };
    for (const Case &c : cases) {
        const ShutdownStep step = decide_shutdown(c.view);
        if (step != c.step) {
            fail_msg("%s: step %d", c.what, static_cast<int>(step));
        }
    }
}

} // namespace

int main() {
    const CMUnitTest tests[] = {cmocka_unit_test(steps)};
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
