// worker.h: the worker process: client sessions over pooled server connections, one event loop.
//
// Forked by the supervisor, which hands over everything in a WorkerContext. Reads top to bottom in
// worker.cpp. Returns the process's exit code: 0 after an ordered shutdown, 1 when the supervisor is gone or
// something broke (it will be replaced), 2 when a replacement would fail the same way.
#pragma once

#include "common/unique_fd.h"
#include "config/config.h"
#include "shm/shared_state.h"

#include <array>
#include <cstdint>
#include <vector>

namespace pgbalancer {

struct WorkerContext {
    Config config;
    SharedState *shared;        // the segment, mapped before the fork; outlives the worker
    int index;                  // 0..num_init_children-1: this worker's slots in shared memory
    uint32_t generation;        // grows with every replacement
    std::vector<int> listeners; // bound, listening, non-blocking; shared by all workers
    UniqueFd control;           // socketpair to the supervisor
    // Random, the same in all workers of one service: makes what an unknown user is shown repeatable.
    std::array<unsigned char, 32> login_key{};
};

int run_worker(WorkerContext context);

} // namespace pgbalancer
