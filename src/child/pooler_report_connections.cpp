// SHOW POOL_PROCESSES and POOL_POOLS: the workers and their server connections.
#include "child/pooler_report.h"
#include "child/session.h"
#include "child/worker_process.h"

namespace pgbalancer {

namespace {

std::string_view state_text(ConnectionState state) {
    switch (state) {
    case ConnectionState::unused: return "unused";
    case ConnectionState::connecting: return "connecting";
    case ConnectionState::idle: return "idle";
    case ConnectionState::active: return "active";
    case ConnectionState::pinned: return "pinned";
    case ConnectionState::closing: return "closing";
    }
    return "";
}

bool in_use(ConnectionState state) { return state == ConnectionState::active || state == ConnectionState::pinned; }

struct WorkerText {
    std::string pid;
    std::string start_time;
    std::string clients;

    explicit WorkerText(const WorkerShm &slot)
        : pid(std::to_string(slot.pid.load(std::memory_order_relaxed))),
          start_time(time_text(slot.start_time_us.load(std::memory_order_relaxed))),
          clients(std::to_string(slot.counters.clients.load(std::memory_order_relaxed))) {}
};

// N of backend_*N.
std::string node_id(const SharedState &shared, int32_t index) {
    NodeSnapshot node;
    const bool known = index >= 0 && index < shared.node_count() && shared.read_node(index, node);
    return known ? std::to_string(node.id) : std::string();
}

constexpr std::string_view kProcessColumns[] = {"pool_pid",        "start_time",    "client_connection_count",
                                                "database",        "username",      "backend_connection_time",
                                                "pool_counter",    "status",        "backend_id",
                                                "pool_backendpid", "pinned_reason", "client_address",
                                                "application_name"};

// A row for every server connection, and one for a worker that has none.
PoolerRows process_rows(Session &session, std::string_view) {
    SharedState &shared = session.worker().shared();
    PoolerRows rows;
    for (int w = 0; w < shared.worker_count(); w++) {
        const WorkerText process(shared.worker(w));
        const size_t before = rows.size();
        for (uint32_t c = 0; c < shared.sizes().max_pool; c++) {
            ConnectionInfo info;
            ConnectionLease lease;
            if (!shared.connection(w, static_cast<int>(c)).read(info, lease)) {
                continue;
            }
            const bool lent = in_use(lease.state);
            rows.push_back({process.pid, process.start_time, process.clients, std::string(info.database.view()),
                            std::string(info.user.view()), time_text(info.create_time_us), std::to_string(lease.uses),
                            std::string(state_text(lease.state)), node_id(shared, info.node),
                            std::to_string(info.server_pid), std::string(info.pinned_reason.view()),
                            std::string(lent ? info.client_address.view() : std::string_view()),
                            std::string(lent ? info.application_name.view() : std::string_view())});
        }
        if (rows.size() == before) {
            rows.push_back(
                {process.pid, process.start_time, process.clients, "", "", "", "0", "idle", "", "", "", "", ""});
        }
    }
    return rows;
}

constexpr std::string_view kPoolColumns[] = {"pool_pid",
                                             "start_time",
                                             "client_connection_count",
                                             "pool_id",
                                             "backend_id",
                                             "database",
                                             "username",
                                             "backend_connection_time",
                                             "client_connection_time",
                                             "client_disconnection_time",
                                             "client_idle_duration",
                                             "majorversion",
                                             "minorversion",
                                             "pool_counter",
                                             "pool_backendpid",
                                             "pool_connected",
                                             "status"};

// Where there are more slots than this, those that are not in use are left out: one statement must not keep a worker
// busy for long.
constexpr uint64_t kMostUnusedSlots = 10000;

// A row for every slot, so that they can be counted as pgpool's are.
PoolerRows pool_rows(Session &session, std::string_view) {
    SharedState &shared = session.worker().shared();
    const uint32_t slots = shared.sizes().max_pool;
    const bool show_unused = uint64_t{shared.sizes().workers} * slots <= kMostUnusedSlots;
    PoolerRows rows;
    for (int w = 0; w < shared.worker_count(); w++) {
        const WorkerText process(shared.worker(w));
        for (uint32_t c = 0; c < slots; c++) {
            const std::string slot = std::to_string(c);
            ConnectionInfo info;
            ConnectionLease lease;
            if (shared.connection(w, static_cast<int>(c)).read(info, lease)) {
                // What pgpool tells of a client's comings and goings is not known of a lease.
                rows.push_back({process.pid, process.start_time, process.clients, slot, node_id(shared, info.node),
                                std::string(info.database.view()), std::string(info.user.view()),
                                time_text(info.create_time_us), time_text(lease.lease_time_us), "", "0", "3", "0",
                                std::to_string(lease.uses), std::to_string(info.server_pid),
                                in_use(lease.state) ? "1" : "0", std::string(state_text(lease.state))});
            } else if (show_unused) {
                rows.push_back({process.pid, process.start_time, process.clients, slot, "", "", "", "", "", "", "0",
                                "0", "0", "0", "0", "0", std::string(state_text(ConnectionState::unused))});
            }
        }
    }
    return rows;
}

} // namespace

constinit const PoolerReport kProcessesReport{.columns = kProcessColumns, .rows = process_rows};
constinit const PoolerReport kPoolsReport{.columns = kPoolColumns, .rows = pool_rows};

} // namespace pgbalancer
