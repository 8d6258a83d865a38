// pool.h: the server connections of one worker, and who waits for one.
//
// A Pool is what all sessions of one (database, user) share; a Lane of it, its connections to one node. Pools holds
// them all and the worker's slots: at most max_pool server connections over all pools and nodes. Waiters are served
// first come first served within a lane; between lanes, an idle connection of one gives way to another's need
// (slot_policy.h), and one that keeps its connections busy cannot starve one that has none. Not every connection suits
// every session (ServerConnection::fits): a waiter for whom one is being opened may be overtaken by whom another suits.
// Single-threaded; nothing blocks.
#pragma once

#include "child/parameter_set.h"
#include "child/server_connection.h"
#include "config/config.h"
#include "sql/catalog_facts.h"
#include "sql/classification.h"

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace pgbalancer {

class Session;
class Worker;

// What a worker knows of one database.
struct Database {
    explicit Database(uint32_t number) : facts(number) {}
    CatalogFacts facts;
    uint64_t facts_generation = 0; // of shared memory, when the facts were asked for
    int64_t facts_ms = 0;          // when they were read
    int64_t retry_ms = 0;          // not again before
    bool facts_wanted = true;
    bool facts_loading = false;
    std::vector<std::string> custom_settings; // names with a dot that were set in it, or that a function sets

    void add_custom_setting(std::string name);
};

class Pool;

// The connections of one pool to one node, and who waits for one of them.
struct Lane {
    Pool *pool = nullptr;
    int node = -1;                        // index in the node table; -1: whichever will be the first primary
    std::vector<ServerConnection *> idle; // most recently used last
    std::deque<Session *> waiters;
    int open = 0; // opening ones included
    int opening = 0;
    int64_t retry_ms = 0;         // no attempt to connect before
    int64_t failing_since_ms = 0; // 0: the last attempt to connect succeeded
    std::string last_error;

    bool served() const { return static_cast<size_t>(opening) >= waiters.size(); }
};

class Pool {
  public:
    Pool(std::string database, std::string user, PoolMode mode, Database &facts, int nodes);
    Pool(const Pool &) = delete;
    Pool &operator=(const Pool &) = delete;

    const std::string &database() const { return database_; }
    const std::string &user() const { return user_; }
    PoolMode mode() const { return mode_; }
    Database &known() { return known_; }

    // What a server reported for a session that started with these settings; null if not seen yet.
    ParameterSetRef told_for(const ParameterSetRef &startup) const;
    // Sessions that belong to it: it lives as long as there is one.
    void session_added() { sessions_++; }
    void session_removed() { sessions_--; }
    void not_plain() { plain_ = false; }
    bool asks_sequences() const { return asks_sequences_; }
    void note_sequence_question() { asks_sequences_ = true; }
    // default_transaction_isolation as its sessions start with it, by role, database and server: what the primary says.
    // Unspecified: not known yet.
    TransactionIsolation default_isolation() const { return default_isolation_; }
    void take_default_isolation(const ServerConnection &from, std::string_view value);
    void remember_told(const ParameterSetRef &startup, const ParameterSetRef &told);

  private:
    friend class Pools;
    Lane &lane(int node) { return node < 0 ? lanes_.back() : lanes_[static_cast<size_t>(node)]; }
    bool unused() const;
    struct Told {
        ParameterSetRef startup;
        ParameterSetRef told;
    };
    static constexpr size_t kMaxTold = 64;

    std::string database_;
    std::string user_;
    PoolMode mode_;
    Database &known_;
    std::vector<Lane> lanes_; // by node, and one more for node -1
    std::vector<Told> told_;
    TransactionIsolation default_isolation_ = TransactionIsolation::unspecified;
    const ServerConnection *asked_ = nullptr; // for it
    int sessions_ = 0;
    // No connection differs from another: no custom settings, no sequences moved, none born with settings or wanted so.
    bool plain_ = true;
    bool asks_sequences_ = false; // some session has asked for currval() or lastval()
};

class Pools {
  public:
    Pools(Worker &worker, int slots);
    ~Pools();
    Pools(const Pools &) = delete;
    Pools &operator=(const Pools &) = delete;

    Pool &find_or_make(const std::string &database, const std::string &user, PoolMode mode);

    // A connection to that node (-1: no primary has been known yet) at once, or null: the session is queued and
    // will hear on_lease, on_lease_failed or, when nodes have changed or a standby cannot be reached, look_again.
    ServerConnection *lease(Session &session, int node);
    // A connection of its own for replication: never null, the session hears of the outcome. Null: no slot.
    ServerConnection *open_replication(Session &session, std::string startup_packet);
    void withdraw(Session &session);
    // The last attempt to connect there failed a moment ago, and nothing that is open is free.
    bool out_of_reach(Pool &pool, int node) const;

    // -- From server connections.
    void on_opened(ServerConnection &server);
    // `report_body` is an ErrorResponse body. `unreachable`: the server could not be asked; it may come back.
    void on_open_failed(ServerConnection &server, std::string_view report_body, bool unreachable);
    void give_back(ServerConnection &server);
    void on_closed(ServerConnection &server);

    // Between two turns of the loop.
    void reap() { graveyard_.clear(); }
    void tick(int64_t now_ms);
    void on_nodes_changed();
    // Pooled connections started with other defaults than new ones would.
    void recycle();
    void close_all();

    // The node that takes writes, or did so last: what is connected to it goes on being used until another is known.
    int primary() const { return primary_; }
    bool anyone_waits_for(const ServerConnection &server) const {
        return waiting_ > 0 && !lane_of(server).waiters.empty();
    }
    int open_connections() const { return open_; }
    size_t waiting() const { return waiting_; }
    ServerConnection *at(int slot) { return slots_[static_cast<size_t>(slot)].get(); }
    int slot_count() const { return static_cast<int>(slots_.size()); }

  private:
    static Lane &lane_of(const ServerConnection &server) { return server.pool().lane(server.node()); }
    void open_for(Lane &lane);
    bool open_one(Lane &lane);
    ServerConnection &open_slot(Lane &lane);
    const Session *first_unserved(const Lane &lane) const;
    bool make_room(const Lane &for_whom, bool at_any_price);
    bool serve(Lane &hungry, Lane &released);
    bool serve_other(Lane &released);
    bool serves(int node) const;
    void end_hopeless_reads();
    void send_elsewhere(std::vector<Session *> &waiters);
    void fail_waiters(Lane &lane, std::string_view report_body, const ParameterSetRef &birth);
    void fail_late_waiters(Lane &lane, int64_t now_ms);
    void give_to(ServerConnection &server, Lane &lane);
    size_t choose_waiter(const Lane &lane, const ServerConnection &server) const;
    bool ask_for_defaults(ServerConnection &server);
    void use_idle_for_facts(ServerConnection &server);
    void want_outdated_facts();
    size_t choose_idle(const Lane &lane, const Session &session) const;
    template <class Visit> void for_each_lane(Visit visit) {
        for (const auto &[key, pool] : pools_) {
            for (Lane &lane : pool->lanes_) {
                visit(lane);
            }
        }
    }
    void forget_unused();
    void count();
    int free_slot() const;

    Worker &worker_;
    std::vector<std::unique_ptr<ServerConnection>> slots_;
    std::vector<std::unique_ptr<ServerConnection>> graveyard_;
    std::map<std::pair<std::string, std::string>, std::unique_ptr<Pool>, std::less<>> pools_;
    std::map<std::string, std::unique_ptr<Database>> databases_;
    int primary_ = -1;
    uint32_t last_database_ = 0;
    int open_ = 0;
    size_t waiting_ = 0;
};

} // namespace pgbalancer
