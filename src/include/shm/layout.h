// layout.h: every byte that the processes share.
//
// One anonymous segment, made by the supervisor before its first fork and mapped at the same address in
// every child. Fixed sizes, no pointers: tables follow each other in the order of SegmentLayout. Nothing
// here takes a lock. Structs that live in the segment end in Shm and say who writes them; the plain
// structs are the values read from and written to them. Times are microseconds since the Unix epoch
// (wall clock) unless the name says monotonic.
#pragma once

#include "shm/seqlock.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace pgbalancer {

static_assert(std::atomic<uint64_t>::is_always_lock_free && std::atomic<uint32_t>::is_always_lock_free);

inline constexpr size_t kCacheLineBytes = 64;

// Text of bounded size inside a shared value; what does not fit is cut off. Holds no zero byte but the last.
template <size_t N> struct FixedText {
    char bytes[N] = {};

    void set(std::string_view text) {
        const size_t size = std::min({text.size(), N - 1, text.find('\0')});
        memset(bytes, 0, N);
        text.copy(bytes, size); // not memcpy: an empty view may have no address
    }
    std::string_view view() const { return {bytes, strnlen(bytes, N)}; }
    bool operator==(const FixedText &) const = default;
};

// ---- Nodes ----------------------------------------------------------------------------------------

enum class NodeStatus : uint8_t {
    connecting, // not probed yet
    up,         // takes connections
    starting,   // alive, but refuses connections for now (57P03)
    down,
};
enum class NodeRole : uint8_t { unknown, primary, standby };

// What the supervisor has decided about a node, and what routing goes by.
struct NodeSnapshot {
    int32_t id = 0; // N of backend_*N
    uint16_t port = 0;
    NodeStatus status = NodeStatus::connecting;
    NodeRole role = NodeRole::unknown;
    uint64_t epoch = 0; // number of the change that last touched status or role; 0 = none since the start
    double weight = 0;
    int64_t last_status_change_us = 0;
    FixedText<256> hostname; // host name, address or socket directory
    FixedText<256> last_error;
};

enum class ProbeOutcome : uint8_t {
    none,     // not finished once
    answered, // the probe's query was answered: in_recovery is known
    alive,    // a PostgreSQL server answered, but the probe cannot learn its role (no user, login refused)
    starting, // 57P03: starting up, shutting down or recovering
    failed,   // nobody answered, or not in time, or not PostgreSQL
};

// What the health process saw at a node: gossip, as far as the supervisor is concerned.
struct NodeObservation {
    ProbeOutcome outcome = ProbeOutcome::none; // after retries
    bool in_recovery = false;
    int32_t server_version = 0; // PQserverVersion()
    uint32_t consecutive_failures = 0;
    uint64_t checks = 0;
    uint64_t successes = 0;
    uint64_t failures = 0;
    uint64_t retries = 0;
    uint32_t max_retries = 0; // of one check
    int64_t last_check_us = 0;
    int64_t last_success_us = 0;
    int64_t last_failure_us = 0;
    int64_t last_duration_us = 0;
    int64_t min_duration_us = 0; // of successful checks, as are the next two
    int64_t max_duration_us = 0;
    int64_t total_duration_us = 0;
    FixedText<256> last_error; // kept after a success
};

// Where a node stands in the write-ahead log, as far as the health process knows. Monotonic times are microseconds of
// CLOCK_MONOTONIC.
struct NodePosition {
    // NodeSnapshot::epoch of the primary that positions are compared with. With any other epoch than the present
    // primary's, this says nothing yet.
    uint64_t epoch = 0;
    // The primary: the end of all it has written, on disk or not. A standby: of what it has replayed, and shows. 0 =
    // not known.
    uint64_t lsn = 0;
    uint64_t received_lsn = 0;        // a standby: end of what it has on disk
    int64_t sampled_monotonic_us = 0; // taken before the server was asked for these
    // A standby: it shows everything that the primary had written at this monotonic time. 0 = not known. Moves back
    // only to 0.
    int64_t fresh_until_us = 0;
    uint64_t lag_bytes = 0; // a standby: behind the primary; meaningful when both have an lsn
    int64_t delay_us = -1;  // a standby: age of what it shows; -1 = not known
    // As the primary's pg_stat_replication shows the standby; empty = not there, or not allowed to see it.
    FixedText<16> replication_state = {};
    FixedText<16> replication_sync_state = {};

    bool operator==(const NodePosition &) const = default;
};

struct alignas(kCacheLineBytes) NodeShm {
    SeqlockShm<NodeSnapshot> snapshot;       // written by the supervisor
    SeqlockShm<NodeObservation> observation; // written by the health process
    SeqlockShm<NodePosition> position;       // written by the health process
};

// ---- Workers --------------------------------------------------------------------------------------

enum class WorkerState : uint32_t { empty, starting, serving, stopping };

// Single-writer counter: no lock prefix. Readers see each value some time after it was written.
using CounterShm = std::atomic<uint64_t>;
inline void bump(CounterShm &counter, uint64_t n = 1) {
    counter.store(counter.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
}
inline void drop(CounterShm &counter, uint64_t n = 1) {
    counter.store(counter.load(std::memory_order_relaxed) - n, std::memory_order_relaxed);
}

// Written by that worker only. When it has died the supervisor clears the gauges; the totals stay, and its
// successor counts on from them, so that sums over all workers never fall.
struct alignas(kCacheLineBytes) WorkerCountersShm {
    // Gauges
    CounterShm clients{0};            // sessions past startup and not gone
    CounterShm clients_active{0};     // of these, holding a server connection
    CounterShm waiting{0};            // of these, queued for one
    CounterShm server_connections{0}; // open, in whatever state
    CounterShm active_connections{0}; // of these, leased
    CounterShm changing{0};           // sessions with something under way that may change data
    CounterShm oldest_wait_us{0};     // monotonic time since which the first in the queue has waited; 0 = nobody waits
    // Totals since the start of the service
    CounterShm connections{0}; // clients accepted
    CounterShm transactions{0};
    CounterShm queries{0};
    CounterShm errors{0};         // ErrorResponses sent to clients, whoever made them
    CounterShm lease_hits{0};     // a lease that found a server connection open
    CounterShm lease_misses{0};   // one that had to open it
    CounterShm statement_hits{0}; // classification cache
    CounterShm statement_misses{0};
    CounterShm prepared{0}; // Parse messages sent to servers
    CounterShm cancels{0};
    CounterShm client_bytes_in{0}; // from clients
    CounterShm client_bytes_out{0};
};
inline constexpr CounterShm WorkerCountersShm::*kWorkerGauges[] = {
    &WorkerCountersShm::clients,
    &WorkerCountersShm::clients_active,
    &WorkerCountersShm::waiting,
    &WorkerCountersShm::server_connections,
    &WorkerCountersShm::active_connections,
    &WorkerCountersShm::changing,
    &WorkerCountersShm::oldest_wait_us,
};

// What a worker sent to one node, and what came back. Totals, written by that worker only; they stay when it has died.
inline constexpr size_t kRouteReasonSlots = 32;
struct alignas(kCacheLineBytes) NodeCountersShm {
    std::array<CounterShm, kRouteReasonSlots> routed{}; // by RouteReason (child/route_reason.h): one per Query or batch
    // Statements, as pgpool counts them.
    CounterShm selects{0};
    CounterShm inserts{0};
    CounterShm updates{0};
    CounterShm deletes{0};
    CounterShm ddl{0};
    CounterShm others{0};
    // ErrorResponses, by severity.
    CounterShm panics{0};
    CounterShm fatals{0};
    CounterShm errors{0};
};

struct alignas(kCacheLineBytes) WorkerShm {
    // Written by the supervisor. `generation` grows with each replacement; a reference is (worker, generation).
    std::atomic<uint32_t> generation{0};
    std::atomic<uint32_t> state{0}; // WorkerState
    std::atomic<int32_t> pid{0};
    std::atomic<int64_t> start_time_us{0};
    // Written by the worker: cancel keys at and above this index have never been used.
    std::atomic<uint32_t> sessions_high_water{0};

    WorkerCountersShm counters;
};

// ---- Server connections ---------------------------------------------------------------------------

enum class ConnectionState : uint8_t { unused, connecting, idle, active, pinned, closing };

// What changes rarely in the life of a server connection.
struct ConnectionInfo {
    int32_t node = -1; // index in the node table
    int32_t server_pid = 0;
    int64_t create_time_us = 0;
    FixedText<64> database;
    FixedText<64> user;
    FixedText<24> pinned_reason; // empty = not pinned
    FixedText<64> application_name;
    FixedText<64> client_address; // of the session that holds the lease, or held the last one
};

// What changes with every lease.
struct ConnectionLease {
    ConnectionState state = ConnectionState::unused;
    uint32_t session = 0;      // index in the worker's session table; meaningful while active or pinned
    int64_t lease_time_us = 0; // start of the present or last lease
    uint64_t uses = 0;         // leases so far
};

// Written by the owning worker. Info and lease are published apart because a lease begins and ends with every
// transaction: four stores instead of fifty. A reader may therefore see them a moment apart.
class alignas(kCacheLineBytes) ConnectionSlotShm {
  public:
    void publish(const ConnectionInfo &info) { info_.write(info); }
    void publish(const ConnectionLease &lease) {
        session_.store(lease.session, std::memory_order_relaxed);
        lease_time_us_.store(lease.lease_time_us, std::memory_order_relaxed);
        uses_.store(lease.uses, std::memory_order_relaxed);
        state_.store(static_cast<uint32_t>(lease.state), std::memory_order_release);
    }
    void clear() { publish(ConnectionLease{}); }

    // Any process. False when the slot is unused or just being written.
    [[nodiscard]] bool read(ConnectionInfo &info, ConnectionLease &lease) const {
        lease.state = static_cast<ConnectionState>(state_.load(std::memory_order_acquire));
        lease.session = session_.load(std::memory_order_relaxed);
        lease.lease_time_us = lease_time_us_.load(std::memory_order_relaxed);
        lease.uses = uses_.load(std::memory_order_relaxed);
        return lease.state != ConnectionState::unused && info_.read(info);
    }

  private:
    std::atomic<uint32_t> state_{0};
    std::atomic<uint32_t> session_{0};
    std::atomic<int64_t> lease_time_us_{0};
    std::atomic<uint64_t> uses_{0};
    SeqlockShm<ConnectionInfo> info_;
};

// ---- Limits across workers ------------------------------------------------------------------------

enum class LimitKind : uint8_t { user, database };

// Open-addressed table of names (as keyed hashes) that have a count. Entries are claimed by compare-and-swap from
// any worker and stay for the life of the segment; the counts are per worker (LimitShareShm).
inline constexpr uint32_t kLimitEntries = 4096;
using LimitKeysShm = std::array<std::atomic<uint64_t>, kLimitEntries>;
// One worker's part of each count. Written by that worker; cleared by the supervisor when it has died.
using LimitShareShm = std::array<std::atomic<uint32_t>, kLimitEntries>;

// ---- History --------------------------------------------------------------------------------------

enum class EventType : uint8_t { started, node_status, node_role, primary_changed, worker_died, reloaded };

struct Event {
    uint64_t number = 0; // 1, 2, 3, … in the order they happened
    EventType type = EventType::started;
    int32_t node = -1; // index in the node table, -1 = about none
    uint64_t epoch = 0;
    int64_t time_us = 0;
    FixedText<128> text;
};

// Written by the supervisor. Event number n is in entry n % kEventEntries until overwritten.
inline constexpr uint64_t kEventEntries = 256;
struct EventRingShm {
    std::atomic<uint64_t> last{0}; // number of the latest event
    std::array<SeqlockShm<Event>, kEventEntries> entries;
};

// ---- The segment ----------------------------------------------------------------------------------

struct alignas(kCacheLineBytes) SegmentShm {
    // Written by the supervisor before the first fork.
    uint8_t limit_hash_key[16];
    int64_t start_time_us;
    // Written by the supervisor. Grows after every change of a NodeSnapshot or of primary_node.
    alignas(kCacheLineBytes) std::atomic<uint64_t> nodes_generation;
    std::atomic<int32_t> primary_node; // index, -1 = none
    // Written by the health process. Grows after every publication of a NodePosition.
    alignas(kCacheLineBytes) std::atomic<uint64_t> positions_generation;
    // Bumped by any worker that saw a statement through which catalog facts / role and database defaults changed.
    alignas(kCacheLineBytes) std::atomic<uint64_t> facts_generation;
    std::atomic<uint64_t> defaults_generation;
    // Latest monotonic time at which any worker was about to acknowledge something that may have changed data.
    alignas(kCacheLineBytes) std::atomic<int64_t> last_write_us;
};

struct SharedStateSizes {
    uint32_t workers = 0;
    uint32_t max_pool = 0;            // connection slots per worker
    uint32_t sessions_per_worker = 0; // cancel table entries per worker
    uint32_t nodes = 0;
};

// Where each table starts, in bytes from the beginning of the segment.
struct SegmentLayout {
    uint64_t nodes, workers, node_counters, connections, cancel_keys, limit_keys, limit_shares, events, total;

    static constexpr SegmentLayout of(const SharedStateSizes &sizes) {
        SegmentLayout layout{};
        uint64_t offset = sizeof(SegmentShm);
        auto place = [&offset](uint64_t bytes) {
            const uint64_t at = offset;
            offset = (offset + bytes + kCacheLineBytes - 1) / kCacheLineBytes * kCacheLineBytes;
            return at;
        };
        layout.nodes = place(uint64_t{sizes.nodes} * sizeof(NodeShm));
        layout.workers = place(uint64_t{sizes.workers} * sizeof(WorkerShm));
        layout.node_counters = place(uint64_t{sizes.workers} * sizes.nodes * sizeof(NodeCountersShm));
        layout.connections = place(uint64_t{sizes.workers} * sizes.max_pool * sizeof(ConnectionSlotShm));
        layout.cancel_keys = place(uint64_t{sizes.workers} * cancel_row(sizes) * sizeof(std::atomic<uint64_t>));
        layout.limit_keys = place(sizeof(LimitKeysShm));
        layout.limit_shares = place(uint64_t{sizes.workers} * sizeof(LimitShareShm));
        layout.events = place(sizeof(EventRingShm));
        layout.total = offset;
        return layout;
    }
    // Entries of a worker's row in the cancel table: whole cache lines, so that workers do not share one.
    static constexpr uint64_t cancel_row(const SharedStateSizes &sizes) {
        constexpr uint64_t per_line = kCacheLineBytes / sizeof(uint64_t);
        return (sizes.sessions_per_worker + per_line - 1) / per_line * per_line;
    }
};

} // namespace pgbalancer
