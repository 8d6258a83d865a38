// spawn_policy.h: whether, and when, a child that has ended is replaced. Pure.
#pragma once

#include <chrono>

namespace pgbalancer {

struct ChildEnd {
    int wait_status = 0; // as waitpid gives it
    std::chrono::nanoseconds lifetime{0};
    int quick_deaths = 0;        // in a row, this one included (see is_quick_death)
    bool service_ready = false;  // every child had been ready once
    bool needed_to_serve = true; // nobody else does what this child does: health, or the last worker
};

enum class SpawnAction {
    replace,      // after `delay`
    abandon,      // log it and go on without
    stop_service, // with exit code `exit_code`
};

struct SpawnDecision {
    SpawnAction action = SpawnAction::replace;
    std::chrono::milliseconds delay{0};
    int exit_code = 0;
};

// Exit code of a process whose replacement would fail the same way.
inline constexpr int kExitDoNotRestart = 2;

// One that ended soon after its fork: the sign of a fault that a replacement will meet again.
bool is_quick_death(std::chrono::nanoseconds lifetime);

SpawnDecision decide_spawn(const ChildEnd &end);

} // namespace pgbalancer
