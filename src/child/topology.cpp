#include "child/topology.h"

#include "config/config.h"
#include "shm/shared_state.h"

#include <algorithm>
#include <utility>

namespace pgbalancer {

bool Topology::refresh(const SharedState &shared, const Config &config, bool force) {
    const uint64_t nodes = shared.nodes_generation();
    const uint64_t positions = shared.positions_generation();
    const bool new_nodes = force || nodes != nodes_generation_;
    if (!new_nodes && positions == positions_generation_) {
        return false;
    }
    nodes_generation_ = nodes;
    positions_generation_ = positions;
    if (new_nodes) {
        version_++;
        read_nodes(shared);
    }
    positions_expected_ =
        config.sr_check_period.count() > 0 && !(config.sr_check_user.empty() && config.health_check_user.empty());
    read_positions(shared);
    return true;
}

void Topology::read_nodes(const SharedState &shared) {
    nodes_.resize(static_cast<size_t>(shared.node_count()));
    if (const int primary = shared.primary_node(); primary >= 0) {
        primary_ = primary;
    }
    standbys_ = 0;
    for (int i = 0; i < size(); i++) {
        RoutingNode &node = nodes_[static_cast<size_t>(i)];
        NodeSnapshot snapshot;
        if (!shared.read_node(i, snapshot)) {
            node.up = false; // just being written: the generation will change again
            node.standby = false;
            continue;
        }
        node.id = snapshot.id;
        node.weight = snapshot.weight;
        node.up = snapshot.status == NodeStatus::up;
        node.standby = node.up && snapshot.role == NodeRole::standby && i != primary_;
        standbys_ += node.standby ? 1 : 0;
        // While there is no primary, what is known of how much of the former one's writes the standbys show is true.
        if (i == shared.primary_node()) {
            primary_epoch_ = snapshot.epoch;
        }
    }
}

void Topology::read_positions(const SharedState &shared) {
    NodePosition of_primary;
    const bool primary_known = primary_ >= 0 && shared.read_position(primary_, of_primary) &&
                               of_primary.epoch == primary_epoch_ && of_primary.lsn != 0;
    for (int i = 0; i < size(); i++) {
        RoutingNode &node = nodes_[static_cast<size_t>(i)];
        NodePosition position;
        const bool known = shared.read_position(i, position) && position.epoch == primary_epoch_;
        node.fresh_until_us = known ? position.fresh_until_us : 0;
        node.delay_us = known ? position.delay_us : -1;
        node.lag_known = known && primary_known && position.lsn != 0;
        node.lag_bytes = node.lag_known ? position.lag_bytes : 0;
    }
}

int Topology::find_id(int id) const {
    const auto found = std::ranges::find(nodes_, id, &RoutingNode::id);
    return found == nodes_.end() ? -1 : static_cast<int>(found - nodes_.begin());
}

Topology Topology::of(std::vector<RoutingNode> nodes, int primary, bool positions_expected, uint32_t version) {
    Topology topology;
    topology.standbys_ = static_cast<int>(std::ranges::count_if(nodes, &RoutingNode::standby));
    topology.nodes_ = std::move(nodes);
    topology.primary_ = primary;
    topology.positions_expected_ = positions_expected;
    topology.version_ = version;
    return topology;
}

} // namespace pgbalancer
