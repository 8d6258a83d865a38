#include "main/node_table.h"

#include "common/clock.h"
#include "common/log.h"
#include "main/node_policy.h"

namespace pgbalancer {

namespace {

const char *name_of(NodeStatus status) {
    switch (status) {
    case NodeStatus::connecting: return "connecting";
    case NodeStatus::up: return "up";
    case NodeStatus::starting: return "starting";
    case NodeStatus::down: return "down";
    }
    return "?";
}

const char *name_of(NodeRole role) {
    switch (role) {
    case NodeRole::unknown: return "unknown role";
    case NodeRole::primary: return "primary";
    case NodeRole::standby: return "standby";
    }
    return "?";
}

std::string address_of(const NodeSnapshot &node) {
    return std::string(node.hostname.view()) + ":" + std::to_string(node.port);
}

NodeView view_of(const NodeSnapshot &node) { return {.status = node.status, .role = node.role}; }

} // namespace

NodeTable::NodeTable(SharedState &shared, const Config &config) : shared_(shared), nodes_(config.backends.size()) {
    for (size_t i = 0; i < nodes_.size(); i++) {
        nodes_[i].id = config.backends[i].id;
        nodes_[i].port = config.backends[i].port;
        nodes_[i].hostname.set(config.backends[i].hostname);
        nodes_[i].last_status_change_us = wall_now_us();
    }
    configure(config);
}

void NodeTable::configure(const Config &config) {
    always_primary_ = -1;
    for (size_t i = 0; i < nodes_.size(); i++) {
        nodes_[i].weight = config.backends[i].weight;
        if (config.backends[i].always_primary) {
            always_primary_ = static_cast<int>(i);
        }
    }
    // A flag that came with a reload counts at once, not at the next report.
    for (int i = 0; i < size(); i++) {
        observe(i);
    }
    shared_.publish_nodes(nodes_, primary_);
}

bool NodeTable::observe(int index) {
    NodeSnapshot &node = nodes_[static_cast<size_t>(index)];
    NodeObservation seen;
    if (!shared_.read_observation(index, seen)) {
        return false;
    }
    const NodeView before = view_of(node);
    const NodeView after =
        decide_node(before, seen, {.always_primary = index == always_primary_, .only_node = nodes_.size() == 1});
    const bool new_error = seen.outcome != ProbeOutcome::answered && !(seen.last_error == node.last_error);
    if (before == after && !new_error) {
        return false;
    }
    node.last_error = seen.last_error;
    node.status = after.status;
    node.role = after.role;
    if (before != after) {
        node.epoch = ++epoch_;
        if (before.status != after.status) {
            node.last_status_change_us = wall_now_us();
        }
        report_change(index, before.status, before.role);
    } else {
        log_at(LogLevel::warning, "node %d (%s): %s", node.id, address_of(node).c_str(), node.last_error.bytes);
    }
    const bool new_primary = decide_primary_again();
    shared_.publish_nodes(nodes_, primary_);
    return before != after || new_primary;
}

void NodeTable::report_change(int index, NodeStatus former_status, NodeRole former_role) {
    const NodeSnapshot &node = nodes_[static_cast<size_t>(index)];
    const bool good = node.status == NodeStatus::up && node.role != NodeRole::unknown;
    const LogLevel level = good ? LogLevel::notice : LogLevel::warning;
    log_at(level, "node %d (%s) is %s, %s%s%s", node.id, address_of(node).c_str(), name_of(node.status),
           name_of(node.role), good ? "" : ": ", good ? "" : node.last_error.bytes);
    if (node.status != former_status) {
        record(EventType::node_status, index, std::string(name_of(former_status)) + " -> " + name_of(node.status));
    }
    if (node.role != former_role) {
        record(EventType::node_role, index, std::string(name_of(former_role)) + " -> " + name_of(node.role));
    }
}

bool NodeTable::decide_primary_again() {
    std::vector<NodeView> views;
    for (const NodeSnapshot &node : nodes_) {
        views.push_back(view_of(node));
    }
    const int former = primary_;
    primary_ = decide_primary(views, former, always_primary_);
    if (primary_ != former) {
        const std::string text = primary_ < 0 ? "none" : address_of(nodes_[static_cast<size_t>(primary_)]);
        log_at(primary_ < 0 ? LogLevel::error : LogLevel::notice, "the primary is now: %s", text.c_str());
        record(EventType::primary_changed, primary_, text);
    }
    int second = -1;
    for (int i = 0; i < size(); i++) {
        const NodeView &view = views[static_cast<size_t>(i)];
        if (i != primary_ && view.status == NodeStatus::up && view.role == NodeRole::primary) {
            second = i;
        }
    }
    if (second >= 0 && second != second_primary_) {
        log_at(LogLevel::error,
               "SPLIT BRAIN: node %d (%s) says it is a primary as well; it is not used, writes go to node %d only",
               nodes_[static_cast<size_t>(second)].id, address_of(nodes_[static_cast<size_t>(second)]).c_str(),
               primary_ < 0 ? -1 : nodes_[static_cast<size_t>(primary_)].id);
    }
    second_primary_ = second;
    return primary_ != former;
}

void NodeTable::record(EventType type, int index, const std::string &text) {
    Event event;
    event.type = type;
    event.node = index;
    event.epoch = epoch_;
    event.time_us = wall_now_us();
    event.text.set(text);
    shared_.append_event(event);
}

std::string NodeTable::description() const {
    std::string text;
    for (const NodeSnapshot &node : nodes_) {
        text += "node " + std::to_string(node.id) + ": " + address_of(node) + " " + name_of(node.status) + ", " +
                name_of(node.role);
        if (node.status != NodeStatus::up && !node.last_error.view().empty()) {
            text += ": " + std::string(node.last_error.view());
        }
        text += "\n";
    }
    return text;
}

} // namespace pgbalancer
