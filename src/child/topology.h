// topology.h: the nodes as a worker routes by them: a copy of what is decided (NodeSnapshot) and measured
// (NodePosition) in shared memory, taken when one of its generations has changed, at most once per turn of the loop.
//
// Owned by the worker. Reading it costs no more than any vector; nothing blocks. Times are microseconds of the
// monotonic clock.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace pgbalancer {

class SharedState;
struct Config;

struct RoutingNode {
    int32_t id = 0; // N of backend_*N
    bool up = false;
    bool standby = false; // up, and a standby: may be given reads
    double weight = 0;
    // A standby: it shows everything written before; 0 = not known, or with another primary than the present one.
    int64_t fresh_until_us = 0;
    bool lag_known = false;
    uint64_t lag_bytes = 0;
    int64_t delay_us = -1; // -1 = not known
    // Server connections of this worker that are leased there: kept up to date by leases, across read().
    uint32_t active = 0;
};

class Topology {
  public:
    // Reads it all anew if something has changed; true if so. Call between two turns, and after a reload with `force`.
    bool refresh(const SharedState &shared, const Config &config, bool force = false);

    // The node that takes writes, or did so last; -1 = none has been known.
    int primary() const { return primary_; }
    // Some standby may be given reads. False: there is nothing to decide.
    bool any_standby() const { return standbys_ > 0; }
    int standbys() const { return standbys_; }
    // Positions are asked for: a standby without one is not known to show anything.
    bool positions_expected() const { return positions_expected_; }
    // Grows when a node's role, state or weight has changed: choices made before are made again.
    uint32_t version() const { return version_; }
    int size() const { return static_cast<int>(nodes_.size()); }
    const RoutingNode &operator[](int index) const { return nodes_[static_cast<size_t>(index)]; }
    // Index of the node with this number; -1 = none.
    int find_id(int id) const;

    void lease_begins(int index) { nodes_[static_cast<size_t>(index)].active++; }
    void lease_ends(int index) { nodes_[static_cast<size_t>(index)].active--; }

    // As given, for what does not look at shared memory.
    static Topology of(std::vector<RoutingNode> nodes, int primary, bool positions_expected, uint32_t version = 1);

  private:
    void read_nodes(const SharedState &shared);
    void read_positions(const SharedState &shared);

    std::vector<RoutingNode> nodes_;
    uint64_t nodes_generation_ = ~uint64_t{0};
    uint64_t positions_generation_ = ~uint64_t{0};
    uint64_t primary_epoch_ = 0; // NodeSnapshot::epoch of the primary
    uint32_t version_ = 0;
    int primary_ = -1;
    int standbys_ = 0;
    bool positions_expected_ = false;
};

} // namespace pgbalancer
