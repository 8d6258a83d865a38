// router.h: to which node a statement or batch goes, and why.
//
// Pure: a function of what the statement needs, what the session is, what the nodes are, the configuration and a random
// number. No clock, no shared memory, no allocation. Any process; in practice each worker, once per Query or batch.
//
// The rule everything rests on: no transaction is ever open on a standby. A read before a transaction's first other
// statement, or outside any, runs on a standby as an implicit transaction of its own, while the client's BEGIN stays
// deferred. The first statement that is no plain read opens the transaction on the primary, and from then on the
// session is tied to that server connection until the transaction ends. What is tied need not be routed: RouteSession
// says so (Tie), only for the sake of counters and EXPLAIN ROUTE.
#pragma once

#include "child/route_reason.h"
#include "child/topology.h"
#include "config/config.h"
#include "sql/classification.h"

#include <algorithm>
#include <cstdint>
#include <limits>

namespace pgbalancer {

// What a statement, or a batch of them, asks of a node. Made by RoutingRules (routing_need.h).
struct RoutingNeed {
    bool standby = true;                     // a standby may run it, as far as the statement goes
    RouteReason why = RouteReason::balanced; // if not: why
    bool changes = false;                    // not proven a read: its completion moves the session's mark
    bool shows_now = false;                  // in an explicit transaction it belongs to that
    bool hintable = true;                    // a hint may send it to a standby even if !standby
    RoutingHint hint = RoutingHint::none;
    uint16_t hint_node = 0;

    // A batch is one implicit transaction: it needs what any statement of it needs.
    void merge(const RoutingNeed &other);
    bool operator==(const RoutingNeed &) const = default;
};

// What ties a session to the server connection it has.
enum class Tie : uint8_t { none, pinned, session_mode, transaction };

// The transaction the client believes to be in, of one that no server knows of yet. Isolation levels above READ
// COMMITTED need one snapshot for all statements; READ WRITE announces a write.
enum class Announced : uint8_t {
    no_transaction,
    plain,    // BEGIN, also READ ONLY, at READ COMMITTED (or UNCOMMITTED)
    isolated, // REPEATABLE READ, SERIALIZABLE, READ WRITE: by its BEGIN, SET TRANSACTION or a default of the session
};

// Where the redirect preference lists send a session's reads. Made once, at login (redirect_preference.h).
struct RedirectTarget {
    enum class Kind : uint8_t { none, primary, standby, node };
    Kind kind = Kind::none;
    uint16_t node_id = 0; // N of backend_*N
    float ratio = 1;      // of the choices; the others are made as without
};

// What a session's transactions are by default: default_transaction_isolation.
enum class DefaultIsolation : uint8_t {
    read_committed,
    repeatable_read, // a transaction block needs the primary
    serializable,    // a standby refuses every statement
};

// What the router keeps in a session. Times are microseconds of the monotonic clock.
struct RouteSession {
    // The latest completion, as relayed, of anything that was not proven a read; 0 = none.
    int64_t mark_us = 0;
    // Standbys that are fresh until earlier are behind one that the session has read from.
    int64_t seen_us = 0;
    // The standby the session has read from last, index; -1 = none. What it showed may be newer than what is known of
    // it, up to this time: another standby has to be fresh until then, unless nothing has been changed since it was.
    int64_t read_us = 0;
    // When data may last have been changed through this pgbalancer; the largest: just now, or not asked.
    int64_t changed_us = std::numeric_limits<int64_t>::max();
    int16_t read_from = -1;
    RedirectTarget redirect;
    uint32_t chosen_version = 0; // Topology::version() when the choice was made: it holds as long as that does
    int16_t chosen = -1;         // the node chosen for the session, or for the transaction; index; -1 = none
    Tie tie = Tie::none;
    Announced announced = Announced::no_transaction;
    DefaultIsolation isolation = DefaultIsolation::read_committed;
    bool wrote = false;                // something not proven a read, since login
    bool wrote_in_transaction = false; // likewise, in an explicit transaction
    bool chosen_by_preference = false; // a redirect preference list decided
};

// Random numbers for decide_route(): fast, and no secret.
class RouteDice {
  public:
    explicit RouteDice(uint64_t seed) : state_(seed) {}
    uint64_t roll() { // splitmix64
        uint64_t z = state_ += 0x9e3779b97f4a7c15;
        z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
        z = (z ^ z >> 27) * 0x94d049bb133111eb;
        return z ^ z >> 31;
    }

  private:
    uint64_t state_;
};

// The part of Config that routing goes by, in the units it is compared in.
struct LoadBalancing {
    bool enabled = true;           // load_balance_mode
    bool per_statement = false;    // statement_level_load_balance
    bool prefer_lower_lag = false; // prefer_lower_delay_standby
    bool fresh = true;             // read_your_writes is not off
    bool global = false;           // read_your_writes = global
    LoadBalancePolicy policy = LoadBalancePolicy::random;
    DisableOnWrite on_write = DisableOnWrite::transaction;
    uint64_t max_lag_bytes = 0; // 0 = any
    int64_t max_delay_us = 0;   // 0 = any

    static LoadBalancing of(const Config &config);
};

struct Route {
    int node = -1; // index in the node table; -1: no primary has been known, wait for one
    RouteReason reason = RouteReason::single;
    // The node chosen for the session or transaction, which may be another one than that of this statement: it may be
    // too far behind just now. -1: no choice was made that is to be kept. See note_route().
    int16_t chosen = -1;
    bool by_preference = false; // how it was chosen
};

// `global_mark_us`: with read_your_writes = global the newest write acknowledged to any session, else 0. `random` is
// used where there is a choice. The route's node is the primary, or a standby that is up.
[[nodiscard]] Route decide_route(const RoutingNeed &need, const RouteSession &session, const Topology &nodes,
                                 const LoadBalancing &how, int64_t global_mark_us, uint64_t random);

// After a statement has been sent where `route` says: what the session must not forget.
void note_route(RouteSession &session, const Route &route, const Topology &nodes);
// A transaction has ended, on a server or virtually. With statement_level_load_balance the next choice is made anew.
void note_transaction_end(RouteSession &session, const LoadBalancing &how);
// Before the completion of something with RoutingNeed::changes, or of the transaction that held it, is relayed to the
// client. `now_us` is read from the clock after the server's answer has come, not the worker's time of this turn: an
// earlier time would call standbys fresh that have not seen the write.
inline void note_write(RouteSession &session, int64_t now_us, bool in_explicit_transaction) {
    session.mark_us = std::max(session.mark_us, now_us);
    session.wrote = true;
    session.wrote_in_transaction |= in_explicit_transaction;
}

} // namespace pgbalancer
