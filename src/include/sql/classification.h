// classification.h: what a statement needs, read from its text alone.
//
// Made by the classifier (src/sql) from a whole Query or Parse text, kept in the per-worker
// statement cache, read by the session and the router. Pure data: no connection, no catalog. What
// only the catalog knows (a user's volatile function, a trigger) is added by CatalogFacts.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace pgbalancer {

// The kind of a text that is one statement; `multiple` for several, `empty` for none, `unknown`
// where the parser refuses it (the server will answer with its own error).
enum class StatementKind : uint8_t {
    unknown,
    empty,
    multiple,
    read,      // proven to change nothing and to touch no session state
    write,     // everything else that is none of the below
    begin,     // BEGIN, START TRANSACTION
    commit,    // COMMIT, END (AND CHAIN too: see kChain)
    rollback,  // ROLLBACK, ABORT
    savepoint, // SAVEPOINT, RELEASE, ROLLBACK TO
    prepare_transaction,
    commit_prepared, // COMMIT PREPARED, ROLLBACK PREPARED
    set,             // SET name, SET TIME ZONE, SET SESSION CHARACTERISTICS, SET ROLE …
    set_local,       // SET LOCAL, SET TRANSACTION, SET CONSTRAINTS: ends with the transaction
    reset,           // RESET name|ALL, SET name TO DEFAULT
    show,
    discard,
    prepare,
    execute,
    deallocate,
    declare_cursor,
    fetch_or_close, // FETCH, MOVE, CLOSE
    listen,
    unlisten,
    notify,
    lock,
    copy_from,
    copy_to,
    explain,
    call,
    do_block,
    ddl,
};

// The command of a text that is one statement, for statistics.
enum class StatementVerb : uint8_t { other, select, insert, update, delete_, ddl };

// What a text does besides, as a union over its statements (also those inside CTEs, EXPLAIN ANALYZE,
// PREPARE and the like).
enum Effect : uint32_t {
    kNoEffect = 0,
    // Ties the session to its server connection (pins):
    kPinListen = 1U << 0,       // LISTEN
    kPinTempObject = 1U << 1,   // creates anything temporary, or names pg_temp
    kPinHoldCursor = 1U << 2,   // DECLARE … WITH HOLD
    kPinAdvisoryLock = 1U << 3, // session-level pg_advisory_lock and relatives (not the _xact_ ones)
    kPinPrepare = 1U << 4,      // SQL PREPARE
    kPinLoad = 1U << 5,         // LOAD
    kPinSequence = 1U << 6,     // calls nextval or setval
    kPinSetting = 1U << 7,      // a SET that cannot be replayed: ROLE, SESSION AUTHORIZATION, SESSION CHARACTERISTICS,
                                // setseed()/SET seed
    // Session settings:
    kSetsSetting = 1U << 8, // SET (not LOCAL), or set_config(…)
    kResets = 1U << 9,      // RESET name|ALL, SET name TO DEFAULT, DISCARD ALL: startup values must be restored
    // Things that can end a pin, so that a probe is worth its price afterwards:
    kMayUnpin = 1U << 10, // UNLISTEN, DROP, CLOSE, DEALLOCATE, DISCARD, RESET, pg_advisory_unlock…
    // Prepared statements:
    kDeallocatesAll = 1U << 11, // DEALLOCATE ALL, DISCARD ALL
    kNamesPrepared = 1U << 12,  // EXECUTE, DEALLOCATE name, PREPARE, CREATE TABLE AS EXECUTE, or mentions
                                // pg_prepared_statements: virtual statements must exist under their real names
    // Catalog:
    kDdl = 1U << 13, // changes the catalog, not of its own session only: facts are read again
    kAltersDefaults =
        1U << 14, // ALTER ROLE|DATABASE … SET, ALTER SYSTEM, pg_reload_conf(): pooled connections are stale
    // Not visible in the text what it does to the session: probe after the transaction.
    kOpaque = 1U << 15, // CALL, DO, EXECUTE, a function not known to be harmless (see `functions`)
    // Reads currval or lastval:
    kReadsSequenceState = 1U << 16,
    kChain = 1U << 17,              // COMMIT/ROLLBACK AND CHAIN
    kTransactionControl = 1U << 18, // contains BEGIN, COMMIT, ROLLBACK, SAVEPOINT … (with kind `multiple`: inside)
    kLocks = 1U << 19,              // FOR UPDATE/SHARE, LOCK
    kSetsRole = 1U << 20,           // SET ROLE, SET SESSION AUTHORIZATION (with kPinSetting)
    kNow = 1U << 21,                // now(), current_timestamp and relatives: the transaction's start time shows
    kNodeBound = 1U << 22,          // stable, but bound to node or server process (pg_backend_pid(), pg_stat_* …)
    kVolatile = 1U << 23, // calls a builtin volatile function without session effect (random(), txid_current() …)
    // Only the catalog knows these (CatalogFacts):
    kSerialInsert = 1U << 24, // writes a relation with a serial or identity column: currval() could be asked afterwards
    kPinSession = 1U << 25,   // session state that no probe can see (dblink_connect() …): pins until the session ends
    // Resets a setting, and more follows that can see the outcome: RESET between other statements, set_config(…, NULL,
    // …), SET LOCAL … TO DEFAULT, a function that does so. With DO and kind `unknown`: what the text shows of it must
    // be looked for (setting_names.h).
    kResetsInside = 1U << 26,
};

// A statement with any of these may move a sequence, which currval() and lastval() would tell.
inline constexpr uint32_t kMayMoveSequences = kSerialInsert | kPinSequence | kOpaque;

enum class TransactionAccess : uint8_t { unspecified, read_only, read_write };
enum class TransactionIsolation : uint8_t {
    unspecified,
    read_uncommitted,
    read_committed,
    repeatable_read,
    serializable
};

// The hint in a comment before the first token: /*NO LOAD BALANCE*/ and /*+ pgbalancer: primary */ both say `primary`.
enum class RoutingHint : uint8_t { none, primary, standby, node };

struct Classification {
    StatementKind kind = StatementKind::unknown;
    uint32_t effects = kNoEffect;
    // kind begin: its options, and whether the text is nothing but that one statement (then it may be
    // deferred). kind set/reset: the setting's lower-cased name ("all" for RESET ALL, "timezone" for SET TIME
    // ZONE); empty where there is none. kind show, discard: likewise ("all", "temp" …). kind
    // deallocate/execute/prepare, and explain of execute: the statement's name ("" = ALL).
    TransactionAccess access = TransactionAccess::unspecified;
    TransactionIsolation isolation = TransactionIsolation::unspecified;
    RoutingHint hint = RoutingHint::none;
    uint16_t hint_node = 0; // with RoutingHint::node
    std::string name;
    // Names that only the catalog can judge, lower-cased unless quoted, without schema unless the text
    // gives one ("schema.name"); sorted, unique. Functions: those that are no builtin.
    // Relations: every table, view or sequence named.
    std::vector<std::string> functions;
    std::vector<std::string> relations;
    std::vector<std::string> operators; // those that are not builtin operator names
    std::vector<std::string> types;     // in casts and column definitions: those that are not builtin type names
    // Builtin functions called without schema: a user's function of that name, with other arguments, may be meant.
    std::vector<std::string> builtins;
    // attribute_hash() of what is selected from something by a point: t.x calls the function x(t) if t has no such
    // column.
    std::vector<uint32_t> attributes;
    // Every statement of the text is a query that itself writes nothing: SELECT, VALUES, COPY TO STDOUT, EXPLAIN. What
    // it calls may, and `effects` say so.
    bool only_queries = false;
    StatementVerb verb = StatementVerb::other;
    bool writes_relations = false; // INSERT/UPDATE/DELETE/MERGE/COPY FROM/TRUNCATE: triggers of `relations` fire
};

} // namespace pgbalancer
