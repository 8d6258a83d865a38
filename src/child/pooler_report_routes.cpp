// SHOW POOL_ROUTES and POOL_BACKEND_STATS, EXPLAIN ROUTE: where statements went, and would go.
#include "child/pool.h"
#include "child/pooler_report.h"
#include "child/server_connection.h"
#include "child/session.h"
#include "child/worker_process.h"

namespace pgbalancer {

namespace {

using Counter = CounterShm NodeCountersShm::*;

NodeSnapshot snapshot_of(const SharedState &shared, int node) {
    NodeSnapshot snapshot;
    (void)shared.read_node(node, snapshot); // just being written: nothing is known of it
    return snapshot;
}

// Of all workers.
template <class Read> uint64_t sum(const SharedState &shared, int node, Read read) {
    uint64_t total = 0;
    for (int worker = 0; worker < shared.worker_count(); worker++) {
        total += read(shared.node_counters(worker, node)).load(std::memory_order_relaxed);
    }
    return total;
}

constexpr std::string_view kRouteColumns[] = {"node_id", "hostname", "port", "role", "reason", "count"};

// A row for each reason that a node was chosen for so far.
PoolerRows route_rows(Session &session, std::string_view) {
    const SharedState &shared = session.worker().shared();
    PoolerRows rows;
    for (int i = 0; i < shared.node_count(); i++) {
        const NodeSnapshot node = snapshot_of(shared, i);
        for (size_t reason = 0; reason < kRouteReasons; reason++) {
            const uint64_t count = sum(
                shared, i, [reason](const NodeCountersShm &counters) -> auto & { return counters.routed[reason]; });
            if (count > 0) {
                rows.push_back({std::to_string(node.id), std::string(node.hostname.view()), std::to_string(node.port),
                                role_text(node.role), std::string(route_reason_text(static_cast<RouteReason>(reason))),
                                std::to_string(count)});
            }
        }
    }
    return rows;
}

constexpr std::string_view kBackendStatsColumns[] = {"node_id",    "hostname",   "port",       "status",     "role",
                                                     "select_cnt", "insert_cnt", "update_cnt", "delete_cnt", "ddl_cnt",
                                                     "other_cnt",  "panic_cnt",  "fatal_cnt",  "error_cnt"};

constexpr Counter kBackendStats[] = {&NodeCountersShm::selects, &NodeCountersShm::inserts, &NodeCountersShm::updates,
                                     &NodeCountersShm::deletes, &NodeCountersShm::ddl,     &NodeCountersShm::others,
                                     &NodeCountersShm::panics,  &NodeCountersShm::fatals,  &NodeCountersShm::errors};

PoolerRows backend_stats_rows(Session &session, std::string_view) {
    const SharedState &shared = session.worker().shared();
    PoolerRows rows;
    for (int i = 0; i < shared.node_count(); i++) {
        const NodeSnapshot node = snapshot_of(shared, i);
        PoolerRow &row =
            rows.emplace_back(PoolerRow{std::to_string(node.id), std::string(node.hostname.view()),
                                        std::to_string(node.port), status_text(node.status), role_text(node.role)});
        for (const Counter counter : kBackendStats) {
            row.emplace_back(std::to_string(sum(
                shared, i, [counter](const NodeCountersShm &counters) -> auto & { return counters.*counter; })));
        }
    }
    return rows;
}

constexpr std::string_view kExplainColumns[] = {"node_id", "hostname", "port", "role", "reason"};

// Where the statement would go if the session sent it now. Nothing is kept: where chance decides, it may go elsewhere.
PoolerRows explain_rows(Session &session, std::string_view text) {
    Worker &worker = session.worker();
    const LoadBalancing &how = worker.routing().how();
    const StatementRef statement = worker.statements().classify(text, session.lex_rules());
    const RoutingNeed need = worker.routing().need_of(*statement, session.pool()->known().facts, text);
    RouteSession state = session.route_state();
    state.changed_us = worker.shared().last_change_us();
    Route route = decide_route(need, state, worker.topology(), how, how.global ? worker.shared().last_write_us() : 0,
                               worker.dice().roll());
    if (session.server() != nullptr) {
        route.node = session.server()->node();
    }
    const std::string reason(route_reason_text(route.reason));
    if (route.node < 0) {
        return {{std::nullopt, std::nullopt, std::nullopt, std::nullopt, reason}};
    }
    const NodeSnapshot node = snapshot_of(worker.shared(), route.node);
    return {{std::to_string(node.id), std::string(node.hostname.view()), std::to_string(node.port),
             role_text(node.role), reason}};
}

} // namespace

constinit const PoolerReport kRoutesReport{.columns = kRouteColumns, .rows = route_rows};
constinit const PoolerReport kBackendStatsReport{.columns = kBackendStatsColumns, .rows = backend_stats_rows};
constinit const PoolerReport kExplainRouteReport{.columns = kExplainColumns, .rows = explain_rows};

} // namespace pgbalancer
