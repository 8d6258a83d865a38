// pool_facts.cpp: Pools asking the primary for themselves, over a connection that nobody needs just now: what the
// catalog says about statements (CatalogFacts), and how isolated a pool's transactions are by default.
#include "child/pool.h"
#include "child/server_connection.h"
#include "child/worker_process.h"

namespace pgbalancer {

namespace {

// Catalog facts are not read again sooner, however much DDL goes by.
constexpr int64_t kFactsIntervalMs = 500;

} // namespace

void Pool::take_default_isolation(const ServerConnection &from, std::string_view value) {
    if (asked_ == &from) {
        asked_ = nullptr;
        default_isolation_ = isolation_named(value);
    }
}

// Once per pool, and only where it matters: whether reads may go to standbys depends on it.
bool Pools::ask_for_defaults(ServerConnection &server) {
    Pool &pool = server.pool();
    if (pool.default_isolation_ != TransactionIsolation::unspecified || pool.asked_ != nullptr ||
        !worker_.notes_changes() || server.node() != primary_ ||
        server.settings()->find("default_transaction_isolation") != nullptr) {
        return false;
    }
    pool.asked_ = &server;
    server.send_internal_query("SHOW default_transaction_isolation", Purpose::defaults);
    worker_.to_servers().flush();
    return true;
}

void Pools::use_idle_for_facts(ServerConnection &server) {
    Database &known = server.pool().known();
    // A standby's catalog may be behind.
    if (known.facts_loading || !known.facts_wanted || server.node() != primary_) {
        return;
    }
    const uint64_t generation = worker_.shared().facts_generation().load(std::memory_order_acquire);
    const auto expire = worker_.config().relcache_expire.count();
    const bool outdated =
        known.facts_generation != generation || (expire > 0 && worker_.now_ms() - known.facts_ms > expire);
    if ((known.facts.loaded() && !outdated) || worker_.now_ms() < known.retry_ms) {
        return;
    }
    known.facts_loading = true;
    known.facts_wanted = false;
    known.facts_generation = generation;
    known.retry_ms = worker_.now_ms() + kFactsIntervalMs;
    server.send_internal_query(catalog_facts_query(), Purpose::facts);
    worker_.to_servers().flush();
}

// After relcache_expire, also where nothing but reads goes by.
void Pools::want_outdated_facts() {
    const auto expire = worker_.config().relcache_expire.count();
    if (expire == 0 || primary_ < 0) {
        return;
    }
    for (const auto &[key, pool] : pools_) {
        Database &known = pool->known_;
        Lane &lane = pool->lane(primary_);
        if (!known.facts.loaded() || worker_.now_ms() - known.facts_ms <= expire) {
            continue;
        }
        known.facts_wanted = true;
        if (!lane.idle.empty() && !known.facts_loading) {
            ServerConnection &server = *lane.idle.back();
            use_idle_for_facts(server);
            if (server.state() != ServerConnection::State::idle) {
                lane.idle.pop_back();
            }
        }
    }
    worker_.to_servers().flush();
}

} // namespace pgbalancer
