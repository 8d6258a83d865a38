// node_policy.h: what an observation of the health process means for a node, and which node is the primary. Pure.
//
// Health reports what it saw; the supervisor alone turns it into state, by these functions. Here a node is
// up or not and has a role; nothing is ever promoted, detached or fenced.
#pragma once

#include "shm/layout.h"

#include <span>

namespace pgbalancer {

struct NodeView {
    NodeStatus status = NodeStatus::connecting;
    NodeRole role = NodeRole::unknown;
    bool operator==(const NodeView &) const = default;
};

struct NodeTraits {
    bool always_primary = false; // backend_flag ALWAYS_PRIMARY
    bool only_node = false;      // no other backend is configured
};

// A role that was seen stays with a node that is down or whose role cannot be asked for the moment: it says what the
// node was, and counts for nothing while the node is not up.
NodeView decide_node(const NodeView &before, const NodeObservation &seen, const NodeTraits &traits);

// The node that takes writes, -1 = none. `current` is kept for as long as it qualifies, so a second primary that
// appears beside it is not used. `always_primary` is the node with that flag, or -1.
int decide_primary(std::span<const NodeView> nodes, int current, int always_primary);

} // namespace pgbalancer
