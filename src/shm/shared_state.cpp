#include "shm/shared_state.h"

#include "common/clock.h"
#include "common/random.h"

#include <boost/interprocess/anonymous_shared_memory.hpp>
#include <boost/interprocess/exceptions.hpp>
#include <limits>
#include <memory>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <unistd.h>

namespace pgbalancer {

namespace {

template <class T> void construct(char *base, uint64_t offset, uint64_t count) {
    std::uninitialized_value_construct_n(reinterpret_cast<T *>(base + offset), count);
}

// Names come from clients: with a keyed hash nobody can choose names that fall on one entry, or on each other.
uint64_t limit_key(const SegmentShm &segment, LimitKind kind, std::string_view name) {
    unsigned char text[1 + 63];
    text[0] = static_cast<unsigned char>(kind);
    const size_t size = std::min(name.size(), sizeof text - 1); // PostgreSQL cuts names at 63 bytes
    memcpy(text + 1, name.data(), size);
    unsigned char digest[EVP_MAX_MD_SIZE];
    if (HMAC(EVP_sha256(), segment.limit_hash_key, sizeof segment.limit_hash_key, text, 1 + size, digest, nullptr) ==
        nullptr) {
        abort();
    }
    uint64_t key = 0;
    memcpy(&key, digest, sizeof key);
    return key == 0 ? 1 : key; // 0 marks a free entry
}

} // namespace

SharedState::SharedState(boost::interprocess::mapped_region region, const SharedStateSizes &sizes,
                         const SegmentLayout &layout)
    : region_(std::move(region)), sizes_(sizes), layout_(layout) {}

Result<SharedState> SharedState::create(const SharedStateSizes &sizes) {
    const SegmentLayout layout = SegmentLayout::of(sizes);
    try {
        SharedState state(boost::interprocess::anonymous_shared_memory(layout.total), sizes, layout);
        char *base = static_cast<char *>(state.region_.get_address());
        const uint64_t workers = sizes.workers;
        construct<SegmentShm>(base, 0, 1);
        construct<NodeShm>(base, layout.nodes, sizes.nodes);
        construct<WorkerShm>(base, layout.workers, workers);
        construct<NodeCountersShm>(base, layout.node_counters, workers * sizes.nodes);
        construct<ConnectionSlotShm>(base, layout.connections, workers * sizes.max_pool);
        construct<std::atomic<uint64_t>>(base, layout.cancel_keys, workers * SegmentLayout::cancel_row(sizes));
        construct<LimitKeysShm>(base, layout.limit_keys, 1);
        construct<LimitShareShm>(base, layout.limit_shares, workers);
        construct<EventRingShm>(base, layout.events, 1);
        random_bytes(state.segment().limit_hash_key);
        state.segment().start_time_us = wall_now_us();
        state.segment().primary_node.store(-1, std::memory_order_relaxed);
        return state;
    } catch (const boost::interprocess::interprocess_exception &e) {
        return Error{.message = "cannot map " + std::to_string(layout.total) + " bytes of shared memory: " + e.what(),
                     .sqlstate = {}};
    }
}

void SharedState::publish_nodes(std::span<const NodeSnapshot> nodes, int primary) {
    for (size_t i = 0; i < nodes.size(); i++) {
        node(static_cast<int>(i)).snapshot.write(nodes[i]);
    }
    segment().primary_node.store(primary, std::memory_order_release);
    segment().nodes_generation.fetch_add(1, std::memory_order_release);
}

uint64_t SharedState::clients_total() const {
    uint64_t total = 0;
    for (int i = 0; i < worker_count(); i++) {
        total += worker(i).counters.clients.load(std::memory_order_relaxed);
    }
    return total;
}

uint32_t SharedState::begin_worker(int index) {
    WorkerShm &slot = worker(index);
    const uint32_t generation = slot.generation.load(std::memory_order_relaxed) + 1;
    slot.start_time_us.store(wall_now_us(), std::memory_order_relaxed);
    slot.generation.store(generation, std::memory_order_release);
    slot.state.store(static_cast<uint32_t>(WorkerState::starting), std::memory_order_release);
    return generation;
}

void SharedState::clear_worker(int index) {
    WorkerShm &slot = worker(index);
    slot.state.store(static_cast<uint32_t>(WorkerState::empty), std::memory_order_release);
    slot.pid.store(0, std::memory_order_relaxed);
    std::atomic<uint64_t> *keys = cancel_keys(index);
    const uint32_t used = slot.sessions_high_water.load(std::memory_order_relaxed);
    for (uint32_t i = 0; i < used; i++) {
        keys[i].store(0, std::memory_order_relaxed);
    }
    slot.sessions_high_water.store(0, std::memory_order_release);
    for (uint32_t i = 0; i < sizes_.max_pool; i++) {
        connection(index, static_cast<int>(i)).clear();
    }
    for (std::atomic<uint32_t> &share : limit_share(index)) {
        share.store(0, std::memory_order_relaxed);
    }
    for (CounterShm WorkerCountersShm::*gauge : kWorkerGauges) {
        (slot.counters.*gauge).store(0, std::memory_order_relaxed);
    }
}

void SharedState::set_cancel_key(int worker_index, uint32_t session, uint64_t key) {
    cancel_keys(worker_index)[session].store(key, std::memory_order_relaxed);
    std::atomic<uint32_t> &high_water = worker(worker_index).sessions_high_water;
    if (session >= high_water.load(std::memory_order_relaxed)) {
        high_water.store(session + 1, std::memory_order_release);
    }
}

std::optional<CancelOwner> SharedState::find_cancel_key(uint64_t key) const {
    if (key == 0) {
        return std::nullopt;
    }
    for (int i = 0; i < worker_count(); i++) {
        const WorkerShm &slot = worker(i);
        const uint32_t generation = slot.generation.load(std::memory_order_acquire);
        const uint32_t used =
            std::min(slot.sessions_high_water.load(std::memory_order_acquire), sizes_.sessions_per_worker);
        const std::atomic<uint64_t> *keys = cancel_keys(i);
        for (uint32_t session = 0; session < used; session++) {
            if (keys[session].load(std::memory_order_relaxed) == key) {
                return CancelOwner{.worker = i, .worker_generation = generation, .session = session};
            }
        }
    }
    return std::nullopt;
}

int SharedState::limit_slot(LimitKind kind, std::string_view name) {
    const uint64_t key = limit_key(segment(), kind, name);
    LimitKeysShm &keys = limit_keys();
    for (uint32_t probe = 0; probe < kLimitEntries; probe++) {
        const uint32_t at = static_cast<uint32_t>((key + probe) % kLimitEntries);
        uint64_t found = keys[at].load(std::memory_order_relaxed);
        if (found == key || (found == 0 && keys[at].compare_exchange_strong(found, key)) || found == key) {
            return static_cast<int>(at);
        }
    }
    return -1;
}

void SharedState::limit_add(int worker_index, int slot, int delta) {
    std::atomic<uint32_t> &share = limit_share(worker_index)[static_cast<size_t>(slot)];
    share.store(share.load(std::memory_order_relaxed) + static_cast<uint32_t>(delta), std::memory_order_relaxed);
    // Two workers that each add one and then look: at least one of them sees both.
    std::atomic_thread_fence(std::memory_order_seq_cst);
}

uint32_t SharedState::limit_total(int slot) const {
    uint32_t total = 0;
    for (int i = 0; i < worker_count(); i++) {
        total += limit_share(i)[static_cast<size_t>(slot)].load(std::memory_order_relaxed);
    }
    return total;
}

void SharedState::note_write(int64_t monotonic_us) {
    std::atomic<int64_t> &last = segment().last_write_us;
    int64_t before = last.load(std::memory_order_relaxed);
    while (before < monotonic_us && !last.compare_exchange_weak(before, monotonic_us, std::memory_order_relaxed)) {
    }
}

int64_t SharedState::last_change_us() const {
    for (int index = 0; index < worker_count(); index++) {
        if (worker(index).counters.changing.load(std::memory_order_acquire) > 0) {
            return std::numeric_limits<int64_t>::max();
        }
    }
    return last_write_us();
}

uint64_t SharedState::append_event(Event event) {
    EventRingShm &ring = events();
    event.number = ring.last.load(std::memory_order_relaxed) + 1;
    ring.entries[event.number % kEventEntries].write(event);
    ring.last.store(event.number, std::memory_order_release);
    return event.number;
}

bool SharedState::read_event(uint64_t number, Event &event) const {
    return number != 0 && events().entries[number % kEventEntries].read(event) && event.number == number;
}

} // namespace pgbalancer
