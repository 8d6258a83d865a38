// descriptor_limit.h: enough file descriptors for a worker to which all clients have come.
#pragma once

#include "common/result.h"
#include "config/config.h"

#include <cstdint>

namespace pgbalancer {

// Sessions a worker has room for beyond max_client_conn: clients that are just being told that there are too many,
// and cancel requests, which no limit may keep out.
inline constexpr uint32_t kSessionMargin = 64;

uint64_t descriptors_needed(const Config &config);

// Raises RLIMIT_NOFILE to the hard limit, and that too if the process may. The error names the numbers.
Status raise_descriptor_limit(const Config &config);

} // namespace pgbalancer
