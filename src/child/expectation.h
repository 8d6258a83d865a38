// expectation.h: which replies a server connection still owes, in order.
//
// One entry per message sent that will be answered, plus entries for replies that pgbalancer gives itself at that place
// in the order. After an error in the extended protocol the server skips everything up to the next Sync (manual:
// Extended Query, "the backend … reads and discards messages until a Sync is reached"), and so does the queue.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>

namespace pgbalancer {

enum class Reply : uint8_t {
    query,              // Query: … ReadyForQuery
    function_call,      // FunctionCall: … ReadyForQuery
    sync,               // Sync: ReadyForQuery
    parse,              // ParseComplete
    bind,               // BindComplete
    describe_statement, // ParameterDescription, then RowDescription or NoData
    describe_portal,    // RowDescription or NoData
    execute,            // rows, then CommandComplete, EmptyQueryResponse or PortalSuspended
    close,              // CloseComplete
    close_locally,      // CloseComplete, given by pgbalancer
    copy_end,           // CopyDone or CopyFail went by here: answered by nothing of its own
};

// For whom a reply is. All but `client` stay inside pgbalancer.
enum class Purpose : uint8_t {
    client,
    reading,  // bringing settings in line: those by which the others are read
    settings, // the others
    begin,    // the deferred BEGIN
    fail,     // a transaction that is to be a failed one
    prepare,  // a virtual statement prepared lazily
    compare,  // the same, and what it returns compared with what the client was shown
    evict,    // a statement closed to make room
    probe,    // looking for session state after an opaque statement
    cleanup,  // ROLLBACK, DISCARD ALL: no session any more
    facts,    // reading catalog facts
    defaults, // reading what the pool's sessions start with
};

struct Expectation {
    Reply reply;
    Purpose purpose;
    uint32_t note; // key of a Note on the connection, 0 = none
};

// A ring; grows to the largest pipeline seen and then stays.
class ExpectationQueue {
  public:
    bool empty() const { return count_ == 0; }
    size_t size() const { return count_; }
    Expectation &front() { return ring_[head_]; }
    const Expectation &front() const { return ring_[head_]; }
    const Expectation &at(size_t i) const { return ring_[(head_ + i) & (capacity_ - 1)]; }
    Expectation &at(size_t i) { return ring_[(head_ + i) & (capacity_ - 1)]; }
    // The last message sent is one that ends with ReadyForQuery.
    bool ends_with_ready() const {
        const Reply last = ring_[(head_ + count_ - 1) & (capacity_ - 1)].reply;
        return last == Reply::query || last == Reply::sync || last == Reply::function_call;
    }
    void push(Expectation e) {
        if (count_ == capacity_) {
            grow();
        }
        ring_[(head_ + count_) & (capacity_ - 1)] = e;
        count_++;
    }
    void pop() {
        head_ = (head_ + 1) & (capacity_ - 1);
        count_--;
    }
    void push_front(Expectation e) {
        if (count_ == capacity_) {
            grow();
        }
        head_ = (head_ - 1) & (capacity_ - 1);
        ring_[head_] = e;
        count_++;
    }
    // Removes entry i (rare).
    void erase(size_t i) {
        for (; i + 1 < count_; i++) {
            at(i) = at(i + 1);
        }
        count_--;
    }
    void clear() {
        head_ = 0;
        count_ = 0;
    }

  private:
    void grow() {
        const size_t larger = capacity_ == 0 ? 16 : capacity_ * 2;
        auto ring = std::make_unique<Expectation[]>(larger);
        for (size_t i = 0; i < count_; i++) {
            ring[i] = at(i);
        }
        ring_ = std::move(ring);
        capacity_ = larger;
        head_ = 0;
    }
    std::unique_ptr<Expectation[]> ring_;
    size_t capacity_ = 0; // a power of two, or 0
    size_t head_ = 0;
    size_t count_ = 0;
};

} // namespace pgbalancer
