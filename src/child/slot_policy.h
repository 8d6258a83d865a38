// slot_policy.h: whether a server connection that is not in use gives way when all of a worker's slots are taken.
//
// Closing one and opening another costs far more than a transaction. Lanes (pools and nodes, pool.h) that are all busy
// would take slots from each other all the time if each that waits could have any that is free for a moment. So they
// end up with equal shares, and what is beyond that moves only when it is really idle. Pure; in a worker.
#pragma once

#include <cstdint>

namespace pgbalancer {

// Idle for so long, a connection goes to whoever needs the slot.
inline constexpr int64_t kIdleGivesWayMs = 100;

// `has`: connections of the lane it belongs to, itself included; `needer_has`: those of the lane that has waiters, in
// both cases with those that are being opened.
constexpr bool gives_way(int has, int needer_has, int64_t idle_ms) {
    return needer_has == 0 || has > needer_has + 1 || idle_ms >= kIdleGivesWayMs;
}

} // namespace pgbalancer
