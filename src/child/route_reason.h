// route_reason.h: why a statement went where it went. Counted per node, shown by SHOW POOL_ROUTES and EXPLAIN ROUTE.
//
// Pure data. The order is that of the counters in shared memory.
#pragma once

#include "shm/layout.h"

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace pgbalancer {

enum class RouteReason : uint8_t {
    // Chosen among the nodes that may serve it
    balanced,
    hint,       // the comment before the statement says so
    preference, // a redirect preference list says so
    lower_lag,  // prefer_lower_delay_standby: the chosen standby is too far behind, this one least

    // The primary, because of the statement
    write,
    session,       // SET, LISTEN, DECLARE …: the session's or the transaction's state
    transaction,   // BEGIN, COMMIT, SAVEPOINT …
    unreadable,    // the parser refuses it, or it is too long to be parsed
    locks,         // FOR UPDATE/SHARE, LOCK
    volatile_call, // a function that is volatile, or not known to be harmless
    node_bound,    // shows what is the node's or the server process's own; temporary and unlogged relations; sequences
    not_shown,     // SHOW of a setting that may differ between nodes
    pattern,       // primary_routing_query_pattern_list
    function_list, // read_only_function_list, write_function_list
    facts_unknown, // what the catalog says about it has not been read yet
    refused,       // a standby refused it before
    batch,         // the batch is too long, or the client wants replies in its middle

    // The primary, because of the session
    pinned,             // tied to its server connection
    session_mode,       // pool_mode
    in_transaction,     // its transaction is open there
    isolation,          // REPEATABLE READ, SERIALIZABLE, READ WRITE
    now_in_transaction, // now() and relatives show when the transaction began
    wrote,              // disable_load_balance_on_write

    // The primary, because of the nodes
    single,   // no standby
    off,      // load_balance_mode
    stale,    // no standby is known to show what the session must see
    lagging,  // delay_threshold, delay_threshold_by_time
    unusable, // no standby that may be chosen is up, or all have weight 0
    retried,  // a standby failed it; run again
};

inline constexpr size_t kRouteReasons = static_cast<size_t>(RouteReason::retried) + 1;
static_assert(kRouteReasons <= kRouteReasonSlots);

// As shown: lower case, words separated by spaces. kRouteReasons of them, each unique.
[[nodiscard]] std::string_view route_reason_text(RouteReason reason);

} // namespace pgbalancer
