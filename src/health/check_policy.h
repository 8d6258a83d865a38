// check_policy.h: when a node is looked at again, and when what was seen counts. Pure.
#pragma once

#include "shm/layout.h"

#include <chrono>

namespace pgbalancer {

struct CheckSettings {
    std::chrono::milliseconds period{2000};
    int max_retries = 0;
    std::chrono::milliseconds retry_delay{1000};
};

struct CheckPlan {
    bool concluded = false; // the outcome is the check's; otherwise the next attempt is a retry of the same check
    std::chrono::milliseconds next_in{0};
};

// `retries` = attempts of this check so far, beyond the first.
CheckPlan plan_after_probe(ProbeOutcome outcome, int retries, const CheckSettings &settings);

// Somebody else could not reach the node: how soon to look, given when the last check ended. Bursts of such reports
// make one check.
std::chrono::milliseconds delay_of_suspicion(std::chrono::nanoseconds since_last_check);

} // namespace pgbalancer
