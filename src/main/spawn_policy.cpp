#include "main/spawn_policy.h"

#include <algorithm>
#include <sys/wait.h>

namespace pgbalancer {

using namespace std::chrono_literals;

namespace {

constexpr auto kQuick = 2s;
constexpr auto kFirstDelay = 100ms;
constexpr auto kLongestDelay = 5000ms;
// A service that never came up has nobody to wait for it.
constexpr int kQuickDeathsAtStart = 5;

} // namespace

bool is_quick_death(std::chrono::nanoseconds lifetime) { return lifetime < kQuick; }

SpawnDecision decide_spawn(const ChildEnd &end) {
    if (WIFEXITED(end.wait_status) && WEXITSTATUS(end.wait_status) == kExitDoNotRestart) {
        if (!end.service_ready || end.needed_to_serve) {
            return {.action = SpawnAction::stop_service, .exit_code = kExitDoNotRestart};
        }
        return {.action = SpawnAction::abandon};
    }
    if (!end.service_ready && end.quick_deaths >= kQuickDeathsAtStart) {
        return {.action = SpawnAction::stop_service, .exit_code = 1};
    }
    // The first is an accident and replaced at once; from the second on, each waits twice as long.
    if (end.quick_deaths <= 1) {
        return {.action = SpawnAction::replace, .delay = 0ms};
    }
    const int doublings = std::min(end.quick_deaths - 2, 10);
    return {.action = SpawnAction::replace,
            .delay = std::min<std::chrono::milliseconds>(kFirstDelay * (1 << doublings), kLongestDelay)};
}

} // namespace pgbalancer
