// position_table.h: from what single servers say to where every node stands compared with the primary. Pure.
//
// Holds for one primary and one epoch of it. What may be told of a standby must stay true whatever happens next, since
// a session's reads are sent there by it:
// - A standby counts as fresh only while it receives the very timeline that the primary writes. A former primary that
//   came back with WAL of its own is *ahead* of the present one and would otherwise pass for fresh.
// - A server whose connection was lost may be another one when it is back: a primary that lost what was not on disk, a
//   standby that replays from an earlier point. So forget() it.
#pragma once

#include "health/position_history.h"
#include "health/position_sample.h"
#include "shm/layout.h"

#include <string>
#include <vector>

namespace pgbalancer {

class PositionTable {
  public:
    // As many nodes as names; a name is the application_name of that node's WAL receiver.
    explicit PositionTable(std::vector<std::string> application_names);

    void rename(std::vector<std::string> application_names) { names_ = std::move(application_names); }
    // Another primary, or the same one in another epoch: nothing is known of any node. -1 = no primary.
    void restart(int primary, uint64_t epoch);
    void take(int node, const PositionSample &sample);
    void forget(int node);

    int primary() const { return primary_; }
    uint64_t epoch() const { return epoch_; }
    const std::vector<NodePosition> &positions() const { return positions_; }

  private:
    struct Standby {
        uint32_t timeline = 0;
        int32_t receiver_pid = 0;
        int32_t former_receiver_pid = 0; // in the sample before
        int64_t replay_age_us = -1;
    };
    NodePosition &position(int node) { return positions_[static_cast<size_t>(node)]; }
    void take_primary(const PositionSample &sample);
    void take_standby(int node, const PositionSample &sample);
    void note_senders(const std::vector<WalSenderRow> &senders);
    bool follows_primary(const Standby &standby) const;
    void compare();
    int64_t delay_of(const NodePosition &standby, int64_t replay_age_us) const;

    std::vector<std::string> names_;
    std::vector<NodePosition> positions_;
    std::vector<Standby> standbys_; // by node; not used for the primary
    int primary_ = -1;
    uint64_t epoch_ = 0;
    uint32_t timeline_ = 0; // the primary's
    PositionHistory history_;
};

} // namespace pgbalancer
