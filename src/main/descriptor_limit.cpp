#include "main/descriptor_limit.h"

#include <sys/resource.h>

namespace pgbalancer {

namespace {
// Listeners, log, control channel, epoll, and connections that carry a cancel request to a server.
constexpr uint64_t kOther = 64;
} // namespace

uint64_t descriptors_needed(const Config &config) {
    return static_cast<uint64_t>(config.max_client_conn) + kSessionMargin + static_cast<uint64_t>(config.max_pool) +
           kOther;
}

Status raise_descriptor_limit(const Config &config) {
    const uint64_t needed = descriptors_needed(config);
    rlimit limit{};
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    if (limit.rlim_max < needed) {
        const rlimit raised{.rlim_cur = needed, .rlim_max = needed};
        if (setrlimit(RLIMIT_NOFILE, &raised) == 0) {
            return Ok{};
        }
        return Error{.message = "a worker needs " + std::to_string(needed) +
                                " file descriptors (max_client_conn = " + std::to_string(config.max_client_conn) +
                                ", max_pool = " + std::to_string(config.max_pool) + ", and " +
                                std::to_string(kSessionMargin + kOther) + "), but the limit is " +
                                std::to_string(limit.rlim_max) +
                                ": raise it (ulimit -n, or LimitNOFILE= of the service), or lower max_client_conn",
                     .sqlstate = {}};
    }
    setrlimit(RLIMIT_NOFILE, &limit);
    return Ok{};
}

} // namespace pgbalancer
