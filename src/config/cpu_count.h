// cpu_count.h: processor cores this process may run on (its affinity mask, so containers and taskset count).
// At least 1. Any process.
#pragma once

namespace pgbalancer {

int available_cpus();

} // namespace pgbalancer
