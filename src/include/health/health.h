// health.h: the health process: is each node alive, and is it a primary or a standby?
//
// Forked by the supervisor, which hands over everything in a HealthContext. Probes every node over libpq,
// asynchronously, in one event loop; publishes what it saw in shared memory and says so over the control channel.
// It decides nothing: what an observation means for a node's state is the supervisor's to say. Returns the process's
// exit code: 0 after an ordered shutdown, 1 when the supervisor is gone or something broke (it will be replaced).
#pragma once

#include "common/unique_fd.h"
#include "config/config.h"
#include "shm/shared_state.h"

namespace pgbalancer {

struct HealthContext {
    Config config;
    SharedState *shared; // the segment, mapped before the fork; outlives the process
    UniqueFd control;    // socketpair to the supervisor
};

int run_health(HealthContext context);

} // namespace pgbalancer
