#include "config/cpu_count.h"

#include <algorithm>
#include <sched.h>
#include <unistd.h>

namespace pgbalancer {

int available_cpus() {
    cpu_set_t set;
    CPU_ZERO(&set);
    if (sched_getaffinity(0, sizeof set, &set) == 0) {
        return std::max(1, CPU_COUNT(&set));
    }
    // More than 1024 processors do not fit a cpu_set_t.
    return static_cast<int>(std::clamp(sysconf(_SC_NPROCESSORS_ONLN), 1L, 1024L));
}

} // namespace pgbalancer
