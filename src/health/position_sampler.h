// position_sampler.h: where every node stands in the write-ahead log, every sr_check_period, published in shared
// memory.
//
// All servers are asked at the same moment, each over a connection of its own, and each answer is published when it
// comes. What the answers mean is said in position_table.h. Health process only.
#pragma once

#include "common/event_loop.h"
#include "config/config.h"
#include "health/position_link.h"
#include "health/position_table.h"
#include "shm/shared_state.h"

#include <memory>
#include <vector>

namespace pgbalancer {

class PositionSampler final : private PositionLink::Owner {
  public:
    // Begins at once; forgets what a predecessor has published.
    PositionSampler(EventLoop &loop, SharedState &shared, const Config &config);

    void configure(const Config &config);

  private:
    void on_period();
    void on_position(int node, const PositionSample &sample) override;
    void on_position_lost(int node) override;
    void note_primary();
    void publish();

    EventLoop &loop_;
    SharedState &shared_;
    uint64_t nodes_generation_ = 0;
    PositionTable table_;
    std::vector<NodePosition> published_;
    std::vector<std::unique_ptr<PositionLink>> links_;
    TimerEvent period_;
};

} // namespace pgbalancer
