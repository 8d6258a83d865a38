#include "health/check_policy.h"

#include <algorithm>

namespace pgbalancer {

using namespace std::chrono_literals;

namespace {

// A server that starts will soon take connections, and clients are waiting for that.
constexpr auto kStartingPeriod = 200ms;
constexpr auto kSuspicionSpacing = 100ms;

} // namespace

CheckPlan plan_after_probe(ProbeOutcome outcome, int retries, const CheckSettings &settings) {
    if (outcome == ProbeOutcome::failed && retries < settings.max_retries) {
        return {.concluded = false, .next_in = settings.retry_delay};
    }
    if (outcome == ProbeOutcome::starting) {
        return {.concluded = true, .next_in = std::min<std::chrono::milliseconds>(settings.period, kStartingPeriod)};
    }
    return {.concluded = true, .next_in = settings.period};
}

std::chrono::milliseconds delay_of_suspicion(std::chrono::nanoseconds since_last_check) {
    const auto passed = std::chrono::duration_cast<std::chrono::milliseconds>(since_last_check);
    return std::max<std::chrono::milliseconds>(kSuspicionSpacing - passed, 0ms);
}

} // namespace pgbalancer
