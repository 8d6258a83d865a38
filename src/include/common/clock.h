// clock.h: the two clocks in use. Monotonic time for intervals and deadlines, wall time only for
// what people read. A worker reads the clock once per loop turn, not per message.
#pragma once

#include <chrono>
#include <cstdint>
#include <ctime>

namespace pgbalancer {

inline std::chrono::nanoseconds read_clock(clockid_t clock) {
    timespec ts{};
    clock_gettime(clock, &ts);
    return std::chrono::seconds(ts.tv_sec) + std::chrono::nanoseconds(ts.tv_nsec);
}

// CLOCK_MONOTONIC: the same base in every process of the tree, so that it may be shared.
inline std::chrono::nanoseconds monotonic_now() { return read_clock(CLOCK_MONOTONIC); }

// Microseconds since the Unix epoch, UTC.
inline int64_t wall_now_us() {
    return std::chrono::duration_cast<std::chrono::microseconds>(read_clock(CLOCK_REALTIME)).count();
}

// The same as of the kernel's last tick, 1 to 10 ms ago: a tenth of the price, for loops that ask all the time.
inline std::chrono::nanoseconds coarse_monotonic_now() { return read_clock(CLOCK_MONOTONIC_COARSE); }
inline int64_t coarse_wall_now_us() {
    return std::chrono::duration_cast<std::chrono::microseconds>(read_clock(CLOCK_REALTIME_COARSE)).count();
}

} // namespace pgbalancer
