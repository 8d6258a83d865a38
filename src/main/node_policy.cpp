#include "main/node_policy.h"

namespace pgbalancer {

namespace {

bool qualifies(std::span<const NodeView> nodes, int index) {
    if (index < 0 || static_cast<size_t>(index) >= nodes.size()) {
        return false;
    }
    const NodeView &node = nodes[static_cast<size_t>(index)];
    return node.status == NodeStatus::up && node.role == NodeRole::primary;
}

} // namespace

NodeView decide_node(const NodeView &before, const NodeObservation &seen, const NodeTraits &traits) {
    NodeView after = before;
    switch (seen.outcome) {
    case ProbeOutcome::none: return before;
    case ProbeOutcome::failed: after.status = NodeStatus::down; break;
    case ProbeOutcome::starting: after.status = NodeStatus::starting; break;
    case ProbeOutcome::alive:
        after.status = NodeStatus::up;
        // It may have come back as something else; only what was up all the time is still what it was.
        if (before.status != NodeStatus::up) {
            after.role = NodeRole::unknown;
        }
        // With nothing to choose from there is no wrong choice: a standby refuses writes by itself.
        if (traits.only_node && after.role == NodeRole::unknown) {
            after.role = NodeRole::primary;
        }
        break;
    case ProbeOutcome::answered:
        after.status = NodeStatus::up;
        after.role = seen.in_recovery ? NodeRole::standby : NodeRole::primary;
        break;
    }
    if (traits.always_primary) {
        after.role = NodeRole::primary;
    }
    return after;
}

int decide_primary(std::span<const NodeView> nodes, int current, int always_primary) {
    if (always_primary >= 0) {
        return qualifies(nodes, always_primary) ? always_primary : -1;
    }
    if (qualifies(nodes, current)) {
        return current;
    }
    for (size_t i = 0; i < nodes.size(); i++) {
        if (qualifies(nodes, static_cast<int>(i))) {
            return static_cast<int>(i);
        }
    }
    return -1;
}

} // namespace pgbalancer
