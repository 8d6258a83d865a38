// When a node is looked at again.
#include "health/check_policy.h"

#include "unit/cmocka_cpp.h"

namespace {

using namespace pgbalancer;
using namespace std::chrono_literals;

constexpr CheckSettings kNoRetries{.period = 2000ms, .max_retries = 0, .retry_delay = 1000ms};
constexpr CheckSettings kRetries{.period = 2000ms, .max_retries = 2, .retry_delay = 300ms};
constexpr CheckSettings kHasty{.period = 100ms, .max_retries = 0, .retry_delay = 0ms};

void plans(void **) {
    const struct {
        const char *what;
        ProbeOutcome outcome;
        int retries;
        CheckSettings settings;
        bool concluded;
        std::chrono::milliseconds next_in;
    } cases[] = {
        {"fine", ProbeOutcome::answered, 0, kNoRetries, true, 2000ms},
        {"fine after a retry", ProbeOutcome::answered, 1, kRetries, true, 2000ms},
        {"refused by a server that lives", ProbeOutcome::alive, 0, kRetries, true, 2000ms},
        {"failed", ProbeOutcome::failed, 0, kNoRetries, true, 2000ms},
        {"failed, first retry", ProbeOutcome::failed, 0, kRetries, false, 300ms},
        {"failed, second retry", ProbeOutcome::failed, 1, kRetries, false, 300ms},
        {"failed for good", ProbeOutcome::failed, 2, kRetries, true, 2000ms},
        {"starts: it will soon be there", ProbeOutcome::starting, 0, kRetries, true, 200ms},
        {"starts, but we look more often anyway", ProbeOutcome::starting, 0, kHasty, true, 100ms},
    };
    for (const auto &c : cases) {
        const CheckPlan plan = plan_after_probe(c.outcome, c.retries, c.settings);
        if (plan.concluded != c.concluded || plan.next_in != c.next_in) {
            fail_msg("%s: %s, next in %lld ms", c.what, plan.concluded ? "concluded" : "retry",
                     static_cast<long long>(plan.next_in.count()));
        }
    }
}

void suspicions_make_one_check(void **) {
    assert_int_equal(delay_of_suspicion(0ms).count(), 100);
    assert_int_equal(delay_of_suspicion(40ms).count(), 60);
    assert_int_equal(delay_of_suspicion(100ms).count(), 0);
    assert_int_equal(delay_of_suspicion(24h).count(), 0);
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(plans),
        cmocka_unit_test(suspicions_make_one_check),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
