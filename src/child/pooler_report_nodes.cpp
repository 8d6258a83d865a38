// SHOW POOL_NODES and POOL_HEALTH_CHECK_STATS: the servers.
#include "child/pooler_report.h"
#include "child/session.h"
#include "child/worker_process.h"
#include "common/clock.h"

#include <chrono>
#include <cstdio>

namespace pgbalancer {

std::string status_text(NodeStatus status) {
    switch (status) {
    case NodeStatus::connecting: return "connecting";
    case NodeStatus::up: return "up";
    case NodeStatus::starting: return "starting";
    case NodeStatus::down: return "down";
    }
    return {};
}

std::string role_text(NodeRole role) {
    switch (role) {
    case NodeRole::unknown: return "unknown";
    case NodeRole::primary: return "primary";
    case NodeRole::standby: return "standby";
    }
    return {};
}

namespace {

// As the server itself was seen last, whatever it is used for.
std::string seen_status_text(const NodeObservation &seen) {
    switch (seen.outcome) {
    case ProbeOutcome::none: return "unknown";
    case ProbeOutcome::answered:
    case ProbeOutcome::alive: return "up";
    case ProbeOutcome::starting: return "starting";
    case ProbeOutcome::failed: return "down";
    }
    return {};
}

std::string seen_role_text(const NodeObservation &seen) {
    if (seen.outcome != ProbeOutcome::answered) {
        return "unknown";
    }
    return seen.in_recovery ? "standby" : "primary";
}

std::string decimal_text(double value, int digits) {
    char text[64];
    const int n = snprintf(text, sizeof text, "%.*f", digits, value);
    return {text, static_cast<size_t>(n)};
}

std::string milliseconds_text(double us) { return decimal_text(us / 1000, 3); }

double per(double total, uint64_t count) { return count == 0 ? 0 : total / static_cast<double>(count); }

struct KnownNode {
    NodeSnapshot snapshot;
    NodeObservation seen;
    NodePosition position;
};

std::vector<KnownNode> read_nodes(const SharedState &shared) {
    std::vector<KnownNode> nodes(static_cast<size_t>(shared.node_count()));
    for (int i = 0; i < shared.node_count(); i++) {
        KnownNode &node = nodes[static_cast<size_t>(i)];
        // What was never written yet, or is just being written, keeps saying that nothing is known.
        (void)shared.read_node(i, node.snapshot);
        (void)shared.read_observation(i, node.seen);
        (void)shared.read_position(i, node.position);
    }
    return nodes;
}

constexpr std::string_view kNodeColumns[] = {"node_id", "hostname", "port", "status", "pg_status", "lb_weight", "role",
                                             "pg_role", "select_cnt", "load_balance_node", "replication_delay",
                                             "replication_state", "replication_sync_state", "last_status_change",
                                             // Ours
                                             "replication_delay_seconds", "staleness_seconds"};

std::string seconds_text(int64_t us) { return decimal_text(static_cast<double>(us) / 1e6, 6); }

struct ReplicationText {
    std::optional<std::string> bytes;
    std::optional<std::string> seconds;
    std::optional<std::string> staleness; // of what the node shows, at most
};

// Nothing is NULL: it is not known.
ReplicationText replication_text(const NodePosition &node, const NodePosition &primary) {
    ReplicationText text;
    if (node.epoch != primary.epoch || node.lsn == 0) {
        return text;
    }
    if (primary.lsn != 0) {
        text.bytes = std::to_string(node.lag_bytes);
    }
    if (node.delay_us >= 0) {
        text.seconds = seconds_text(node.delay_us);
    }
    if (node.fresh_until_us != 0) {
        const auto now = std::chrono::duration_cast<std::chrono::microseconds>(monotonic_now());
        text.staleness = seconds_text(now.count() - node.fresh_until_us);
    }
    return text;
}

// Of all workers.
uint64_t selects_of(const SharedState &shared, int node) {
    uint64_t count = 0;
    for (int worker = 0; worker < shared.worker_count(); worker++) {
        count += shared.node_counters(worker, node).selects.load(std::memory_order_relaxed);
    }
    return count;
}

PoolerRows node_rows(Session &session, std::string_view) {
    Worker &worker = session.worker();
    const int chosen = session.route_state().chosen;
    const std::vector<KnownNode> nodes = read_nodes(worker.shared());
    const int primary = worker.shared().primary_node();
    NodePosition primary_position;
    if (primary >= 0) {
        primary_position = nodes[static_cast<size_t>(primary)].position;
        primary_position.epoch = nodes[static_cast<size_t>(primary)].snapshot.epoch;
    }
    double weights = 0;
    for (const KnownNode &node : nodes) {
        weights += node.snapshot.weight;
    }
    PoolerRows rows;
    for (size_t i = 0; i < nodes.size(); i++) {
        const NodeSnapshot &node = nodes[i].snapshot;
        const NodePosition &position = nodes[i].position;
        const ReplicationText replication = static_cast<int>(i) == primary
                                                ? ReplicationText{.bytes = "0", .seconds = "0", .staleness = "0"}
                                                : replication_text(position, primary_position);
        rows.push_back({std::to_string(node.id), std::string(node.hostname.view()), std::to_string(node.port),
                        status_text(node.status), seen_status_text(nodes[i].seen),
                        decimal_text(weights == 0 ? 0 : node.weight / weights, 6), role_text(node.role),
                        seen_role_text(nodes[i].seen), std::to_string(selects_of(worker.shared(), static_cast<int>(i))),
                        static_cast<int>(i) == chosen ? "true" : "false", replication.bytes,
                        std::string(position.replication_state.view()),
                        std::string(position.replication_sync_state.view()), time_text(node.last_status_change_us),
                        replication.seconds, replication.staleness});
    }
    return rows;
}

constexpr std::string_view kHealthCheckColumns[] = {"node_id",
                                                    "hostname",
                                                    "port",
                                                    "status",
                                                    "role",
                                                    "last_status_change",
                                                    "total_count",
                                                    "success_count",
                                                    "fail_count",
                                                    "skip_count",
                                                    "retry_count",
                                                    "average_retry_count",
                                                    "max_retry_count",
                                                    "max_duration",
                                                    "min_duration",
                                                    "average_duration",
                                                    "last_health_check",
                                                    "last_successful_health_check",
                                                    "last_skip_health_check",
                                                    "last_failed_health_check"};

// Durations are milliseconds, of checks that succeeded. No check is ever skipped.
PoolerRows health_check_rows(Session &session, std::string_view) {
    PoolerRows rows;
    for (const KnownNode &known : read_nodes(session.worker().shared())) {
        const NodeSnapshot &node = known.snapshot;
        const NodeObservation &seen = known.seen;
        rows.push_back({std::to_string(node.id),
                        std::string(node.hostname.view()),
                        std::to_string(node.port),
                        status_text(node.status),
                        role_text(node.role),
                        time_text(node.last_status_change_us),
                        std::to_string(seen.checks),
                        std::to_string(seen.successes),
                        std::to_string(seen.failures),
                        "0",
                        std::to_string(seen.retries),
                        decimal_text(per(static_cast<double>(seen.retries), seen.checks), 6),
                        std::to_string(seen.max_retries),
                        milliseconds_text(static_cast<double>(seen.max_duration_us)),
                        milliseconds_text(static_cast<double>(seen.min_duration_us)),
                        milliseconds_text(per(static_cast<double>(seen.total_duration_us), seen.successes)),
                        time_text(seen.last_check_us),
                        time_text(seen.last_success_us),
                        "",
                        time_text(seen.last_failure_us)});
    }
    return rows;
}

} // namespace

constinit const PoolerReport kNodesReport{.columns = kNodeColumns, .rows = node_rows};
constinit const PoolerReport kHealthCheckReport{.columns = kHealthCheckColumns, .rows = health_check_rows};

} // namespace pgbalancer
