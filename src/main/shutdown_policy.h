// shutdown_policy.h: what the supervisor does next on its way out. Pure.
//
// Workers go first, the other children when the last worker has gone. Smart waits for as long as the sessions
// take; fast and the other children get a bounded grace; immediate none.
#pragma once

#include "main/control_message.h"

#include <chrono>

namespace pgbalancer {

struct ShutdownView {
    ShutDownMode mode = ShutDownMode::smart;
    int workers = 0; // running
    int others = 0;
    bool others_told = false;
    std::chrono::nanoseconds in_phase{0}; // since the mode was set, or the others were told
};

enum class ShutdownStep { wait, tell_others, kill_all, finish };

inline constexpr std::chrono::seconds kFastGrace{10};
inline constexpr std::chrono::seconds kOthersGrace{5};

ShutdownStep decide_shutdown(const ShutdownView &view);

} // namespace pgbalancer
