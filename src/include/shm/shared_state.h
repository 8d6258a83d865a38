// shared_state.h: the one way to the memory that the processes share.
//
// Made by the supervisor before its first fork and used through the same object, at the same address, in
// every child; the segment is anonymous and goes with the last process. Nothing here blocks, allocates
// or takes a lock. Indices come from the caller and must be in range: workers 0..workers-1, slots
// 0..max_pool-1, sessions 0..sessions_per_worker-1, nodes 0..node_count()-1. What the tables hold and
// who may write which of them is said in layout.h.
#pragma once

#include "common/result.h"
#include "shm/layout.h"

#include <atomic>
#include <boost/interprocess/mapped_region.hpp>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace pgbalancer {

// Whose session a cancel key belongs to.
struct CancelOwner {
    int worker;
    uint32_t worker_generation;
    uint32_t session;
};

class SharedState {
  public:
    // The supervisor, once. Fails when the kernel gives no memory of that size.
    static Result<SharedState> create(const SharedStateSizes &sizes);

    const SharedStateSizes &sizes() const { return sizes_; }
    int worker_count() const { return static_cast<int>(sizes_.workers); }
    int node_count() const { return static_cast<int>(sizes_.nodes); }
    int64_t start_time_us() const { return segment().start_time_us; }

    // -- Nodes. Whoever remembers a generation and finds it changed reads the snapshots again.
    uint64_t nodes_generation() const { return segment().nodes_generation.load(std::memory_order_acquire); }
    // Index of the node that takes writes, -1 = none.
    int primary_node() const { return segment().primary_node.load(std::memory_order_acquire); }
    [[nodiscard]] bool read_node(int index, NodeSnapshot &snapshot) const {
        return node(index).snapshot.read(snapshot);
    }
    [[nodiscard]] bool read_observation(int index, NodeObservation &observation) const {
        return node(index).observation.read(observation);
    }
    // Supervisor: makes a decision visible; nodes.size() == node_count().
    void publish_nodes(std::span<const NodeSnapshot> nodes, int primary);
    // Health process.
    void publish_observation(int index, const NodeObservation &observation) {
        node(index).observation.write(observation);
    }

    // -- Replication positions. As with nodes, whoever finds the generation changed reads them again.
    uint64_t positions_generation() const { return segment().positions_generation.load(std::memory_order_acquire); }
    [[nodiscard]] bool read_position(int index, NodePosition &position) const {
        return node(index).position.read(position);
    }
    // Health process.
    void publish_position(int index, const NodePosition &position) {
        node(index).position.write(position);
        segment().positions_generation.fetch_add(1, std::memory_order_release);
    }

    // -- Workers and their server connections.
    WorkerShm &worker(int index) const { return table<WorkerShm>(layout_.workers)[index]; }
    ConnectionSlotShm &connection(int worker, int slot) const {
        return table<ConnectionSlotShm>(
            layout_.connections)[static_cast<uint64_t>(worker) * sizes_.max_pool + static_cast<uint64_t>(slot)];
    }
    NodeCountersShm &node_counters(int worker, int node) const {
        return table<NodeCountersShm>(
            layout_.node_counters)[static_cast<uint64_t>(worker) * sizes_.nodes + static_cast<uint64_t>(node)];
    }
    // Clients of all workers together.
    uint64_t clients_total() const;
    // Supervisor: before a worker is forked, and after it was reaped. begin_worker returns the new generation.
    uint32_t begin_worker(int index);
    void clear_worker(int index);

    // -- Cancel keys. The worker sets those of its own sessions; 0 = none. Any worker may ask.
    void set_cancel_key(int worker, uint32_t session, uint64_t key);
    std::optional<CancelOwner> find_cancel_key(uint64_t key) const;

    // -- Limits that hold over all workers. A slot is good for the life of the segment. -1: the table is full.
    // Ask only for names that have passed authentication, so that nobody can fill the table from outside.
    int limit_slot(LimitKind kind, std::string_view name);
    // To take one without ever exceeding a limit: add first, then look at the total, and take it back if too many.
    void limit_add(int worker, int slot, int delta);
    uint32_t limit_total(int slot) const;

    // -- Grow when a worker saw DDL / ALTER ROLE or DATABASE … SET. Compared once per loop turn.
    std::atomic<uint64_t> &facts_generation() const { return segment().facts_generation; }
    std::atomic<uint64_t> &defaults_generation() const { return segment().defaults_generation; }

    // -- The newest change acknowledged to any client, in microseconds of the monotonic clock; 0 = none.
    int64_t last_write_us() const { return segment().last_write_us.load(std::memory_order_relaxed); }
    void note_write(int64_t monotonic_us);
    // The same with what is under way: the largest value then.
    int64_t last_change_us() const;

    // -- History. The supervisor appends (number is filled in); any process reads by number.
    uint64_t append_event(Event event);
    uint64_t last_event() const { return events().last.load(std::memory_order_acquire); }
    // False when it was never written or is overwritten already.
    [[nodiscard]] bool read_event(uint64_t number, Event &event) const;

  private:
    SharedState(boost::interprocess::mapped_region region, const SharedStateSizes &sizes, const SegmentLayout &layout);

    template <class T> T *table(uint64_t offset) const {
        return reinterpret_cast<T *>(static_cast<char *>(region_.get_address()) + offset);
    }
    SegmentShm &segment() const { return *table<SegmentShm>(0); }
    NodeShm &node(int index) const { return table<NodeShm>(layout_.nodes)[index]; }
    std::atomic<uint64_t> *cancel_keys(int worker) const {
        return table<std::atomic<uint64_t>>(layout_.cancel_keys) +
               static_cast<uint64_t>(worker) * SegmentLayout::cancel_row(sizes_);
    }
    LimitKeysShm &limit_keys() const { return *table<LimitKeysShm>(layout_.limit_keys); }
    LimitShareShm &limit_share(int worker) const { return table<LimitShareShm>(layout_.limit_shares)[worker]; }
    EventRingShm &events() const { return *table<EventRingShm>(layout_.events); }

    boost::interprocess::mapped_region region_;
    SharedStateSizes sizes_;
    SegmentLayout layout_;
};

} // namespace pgbalancer
