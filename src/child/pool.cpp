#include "child/pool.h"

#include "child/session.h"
#include "child/setting_names.h"
#include "child/slot_policy.h"
#include "child/wire.h"
#include "child/worker_process.h"
#include "common/log.h"

#include <algorithm>

namespace pgbalancer {

namespace {

constexpr int64_t kRetryConnectMs = 100;
// The same at a standby: its reads go to the primary meanwhile.
constexpr int64_t kRetryStandbyMs = 1000;
// How long the first waiter of one pool may be overtaken by those of another that keeps its connections busy.
constexpr int64_t kMaxOvertakenMs = 50;

void erase_one(std::vector<ServerConnection *> &from, ServerConnection *server) {
    const auto at = std::find(from.begin(), from.end(), server);
    if (at != from.end()) {
        from.erase(at);
    }
}

} // namespace

void Database::add_custom_setting(std::string name) {
    if (custom_settings.size() < kMaxCustomSettings &&
        std::find(custom_settings.begin(), custom_settings.end(), name) == custom_settings.end()) {
        custom_settings.push_back(std::move(name));
    }
}

Pool::Pool(std::string database, std::string user, PoolMode mode, Database &facts, int nodes)
    : database_(std::move(database)), user_(std::move(user)), mode_(mode), known_(facts),
      lanes_(static_cast<size_t>(nodes) + 1) {
    for (int node = 0; node < nodes; node++) {
        lane(node).node = node;
    }
    for (Lane &lane : lanes_) {
        lane.pool = this;
    }
}

bool Pool::unused() const {
    return sessions_ == 0 &&
           std::ranges::all_of(lanes_, [](const Lane &lane) { return lane.open == 0 && lane.waiters.empty(); });
}

ParameterSetRef Pool::told_for(const ParameterSetRef &startup) const {
    for (const Told &known : told_) {
        if (known.startup == startup) {
            return known.told;
        }
    }
    return {};
}

void Pool::remember_told(const ParameterSetRef &startup, const ParameterSetRef &told) {
    for (Told &known : told_) {
        if (known.startup == startup) {
            known.told = told;
            return;
        }
    }
    if (told_.size() == kMaxTold) {
        told_.erase(told_.begin());
    }
    told_.push_back({startup, told});
}

Pools::Pools(Worker &worker, int slots) : worker_(worker), slots_(static_cast<size_t>(slots)) {}

Pools::~Pools() { close_all(); }

Pool &Pools::find_or_make(const std::string &database, const std::string &user, PoolMode mode) {
    const auto key = std::make_pair(database, user);
    const auto at = pools_.find(key);
    if (at != pools_.end()) {
        return *at->second;
    }
    auto &known = databases_[database];
    if (known == nullptr) {
        known = std::make_unique<Database>(++last_database_);
    }
    return *pools_.emplace(key, std::make_unique<Pool>(database, user, mode, *known, worker_.shared().node_count()))
                .first->second;
}

ServerConnection *Pools::lease(Session &session, int node) {
    Lane &lane = session.pool()->lane(node);
    // Who waits although there are idle ones can use none of them.
    if ((lane.waiters.empty() || !lane.pool->plain_) && !lane.idle.empty()) {
        const size_t chosen = choose_idle(lane, session);
        if (chosen < lane.idle.size()) {
            ServerConnection *server = lane.idle[chosen];
            lane.idle.erase(lane.idle.begin() + static_cast<std::ptrdiff_t>(chosen));
            bump(worker_.counters().lease_hits);
            return server;
        }
    }
    lane.waiters.push_back(&session);
    waiting_++;
    bump(worker_.counters().lease_misses);
    open_for(lane);
    count();
    return nullptr;
}

// The most recently used, because it is the likeliest to be warm; but a session that moved a sequence goes back to
// where it did, and the others leave such connections alone as long as there is another choice. idle_.size(): none.
size_t Pools::choose_idle(const Lane &lane, const Session &session) const {
    const auto &idle = lane.idle;
    if (lane.pool->plain_) {
        return idle.size() - 1;
    }
    size_t owned = idle.size();
    size_t free = idle.size();
    for (size_t i = idle.size(); i-- > 0;) {
        const ServerConnection &server = *idle[i];
        if (!server.fits(session)) {
            continue;
        }
        if (session.identity() == server.sequence_owner()) {
            return i;
        }
        size_t &best = server.sequence_owner() == 0 ? free : owned;
        if (best == idle.size()) {
            best = i;
        }
        if (free == i && !session.owns_sequences()) {
            break;
        }
    }
    // A connection that reads catalog facts just now will be free in a moment.
    return free < idle.size() || free_slot() >= 0 || lane.pool->known_.facts_loading ? free : owned;
}

void Pools::withdraw(Session &session) {
    if (session.pool() == nullptr) {
        return;
    }
    for (const auto &server : slots_) {
        if (server != nullptr && server->session() == &session && server->state() < ServerConnection::State::idle) {
            lane_of(*server).opening--; // for replication: being opened for this session alone
            server->close_unopened();
            return;
        }
    }
    for (Lane &lane : session.pool()->lanes_) {
        if (std::erase(lane.waiters, &session) > 0) {
            waiting_--;
            count();
            return;
        }
    }
}

int Pools::free_slot() const {
    for (size_t i = 0; i < slots_.size(); i++) {
        if (slots_[i] == nullptr) {
            return static_cast<int>(i);
        }
    }
    return -1;
}

void Pools::open_for(Lane &lane) {
    // As many as there are waiters whom no connection under way will serve.
    while (!lane.served()) {
        if (!open_one(lane)) {
            return;
        }
    }
}

// The first waiter for whom no connection under way is meant.
const Session *Pools::first_unserved(const Lane &lane) const {
    if (lane.pool->plain_) {
        return lane.served() ? nullptr : lane.waiters[static_cast<size_t>(lane.opening)];
    }
    std::vector<const ServerConnection *> opening;
    for (const auto &server : slots_) {
        if (server != nullptr && &lane_of(*server) == &lane && server->state() < ServerConnection::State::idle) {
            opening.push_back(server.get());
        }
    }
    for (const Session *session : lane.waiters) {
        const auto for_him = std::ranges::find_if(
            opening, [session](const auto *server) { return server->born_with() == session->needed_birth(); });
        if (for_him == opening.end()) {
            return session;
        }
        opening.erase(for_him);
    }
    return nullptr;
}

bool Pools::open_one(Lane &lane) {
    if (worker_.now_ms() < lane.retry_ms) {
        return false;
    }
    NodeSnapshot snapshot;
    const bool known = lane.node == primary_ ? worker_.shared().primary_node() >= 0 : serves(lane.node);
    if (lane.node < 0 || !known || !worker_.shared().read_node(lane.node, snapshot)) {
        if (lane.failing_since_ms == 0) {
            lane.failing_since_ms = worker_.now_ms();
            lane.last_error = "no primary server is known to be up";
        }
        return false;
    }
    if (free_slot() < 0 && !make_room(lane, false)) {
        return false;
    }
    const Session *session = first_unserved(lane);
    if (session == nullptr) {
        return false;
    }
    open_slot(lane).open(snapshot, session->needed_birth());
    return true;
}

// There is a free slot.
ServerConnection &Pools::open_slot(Lane &lane) {
    const int slot = free_slot();
    auto made = std::make_unique<ServerConnection>(worker_, *lane.pool, slot, lane.node);
    ServerConnection &server = *made;
    slots_[static_cast<size_t>(slot)] = std::move(made);
    open_++;
    lane.open++;
    lane.opening++;
    return server;
}

ServerConnection *Pools::open_replication(Session &session, std::string startup_packet) {
    const int node = worker_.shared().primary_node();
    NodeSnapshot snapshot;
    if (node < 0 || !worker_.shared().read_node(node, snapshot)) {
        return nullptr;
    }
    Lane &lane = session.pool()->lane(node);
    if (free_slot() < 0 && !make_room(lane, true)) {
        return nullptr;
    }
    ServerConnection &server = open_slot(lane);
    server.bind_replication(session);
    server.open_replication(snapshot, std::move(startup_packet));
    return &server;
}

// Closes the connection that has been idle longest: of another lane, or of this one where all who wait need another
// kind. (One that reads catalog facts just now will be free in a moment.) `at_any_price`: for whom will not ask again.
bool Pools::make_room(const Lane &for_whom, bool at_any_price) {
    const bool own_too = !for_whom.pool->plain_ && !for_whom.pool->known_.facts_loading;
    const auto may_go = [&](const ServerConnection &server) {
        const Lane &lane = lane_of(server);
        return &lane == &for_whom
                   ? own_too || at_any_price
                   : at_any_price || gives_way(lane.open, for_whom.open, worker_.now_ms() - server.idle_since_ms());
    };
    ServerConnection *oldest = nullptr;
    for (const auto &server : slots_) {
        if (server != nullptr && server->state() == ServerConnection::State::idle && !server->cancel_in_flight() &&
            may_go(*server) && (oldest == nullptr || server->idle_since_ms() < oldest->idle_since_ms())) {
            oldest = server.get();
        }
    }
    if (oldest == nullptr) {
        return false;
    }
    oldest->close();
    return true;
}

void Pools::on_opened(ServerConnection &server) {
    Lane &lane = lane_of(server);
    lane.opening--;
    lane.failing_since_ms = 0;
    if (Session *session = server.session()) { // replication: it was opened for this one
        session->on_lease(server);
        return;
    }
    give_back(server);
    count();
}

void Pools::on_open_failed(ServerConnection &server, std::string_view report_body, bool unreachable) {
    Lane &lane = lane_of(server);
    const std::string report(report_body);
    const ServerReport said = read_report(report);
    Session *own = server.session();
    const ParameterSetRef birth = server.born_with();
    lane.opening--;
    server.close_unopened();
    // Starting up or out of connections: passes. Anything else the server says (no such database, wrong password)
    // will not get better by asking again.
    const bool passing = unreachable || said.sqlstate == "57P03" || said.sqlstate == "53300";
    if (own == nullptr && lane.node == primary_ && !passing && !birth->empty()) {
        fail_waiters(lane, report, birth); // it may well be about the settings, which are theirs alone
        open_for(lane);
        return;
    }
    lane.last_error = said.message;
    if (lane.failing_since_ms == 0) {
        lane.failing_since_ms = worker_.now_ms();
    }
    if (own != nullptr) {
        own->on_lease_failed(report);
        return;
    }
    if (lane.node != primary_) { // reads, which the primary can run as well
        lane.retry_ms = worker_.now_ms() + kRetryStandbyMs;
        std::vector<Session *> waiters(lane.waiters.begin(), lane.waiters.end());
        waiting_ -= waiters.size();
        lane.waiters.clear();
        send_elsewhere(waiters);
        return;
    }
    if (passing || lane.open > lane.opening) {
        lane.retry_ms = worker_.now_ms() + kRetryConnectMs;
        return; // the waiters wait on, for as long as connect_timeout lets them (tick)
    }
    fail_waiters(lane, report, birth);
}

// Those who wait for a connection of this birth.
void Pools::fail_waiters(Lane &lane, std::string_view report_body, const ParameterSetRef &birth) {
    // Those who queue up while the others are told are not among them.
    std::vector<Session *> told;
    std::erase_if(lane.waiters, [&](Session *session) {
        if (!(session->needed_birth() == birth)) {
            return false;
        }
        told.push_back(session);
        return true;
    });
    waiting_ -= told.size();
    count();
    for (Session *session : told) {
        session->on_lease_failed(report_body);
    }
}

void Pools::give_back(ServerConnection &server) {
    if (server.state() != ServerConnection::State::idle || server.cancel_in_flight()) {
        return; // comes again when it is
    }
    Lane &lane = lane_of(server);
    if (server.stale()) {
        server.close();
        open_for(lane);
        return;
    }
    if (ask_for_defaults(server)) {
        return;
    }
    use_idle_for_facts(server);
    if (server.state() != ServerConnection::State::idle) {
        return;
    }
    if (waiting_ > 0 && serve_other(lane) && server.state() == ServerConnection::State::closed) {
        return;
    }
    if (lane.waiters.empty()) {
        lane.idle.push_back(&server);
        return;
    }
    give_to(server, lane);
}

void Pools::give_to(ServerConnection &server, Lane &lane) {
    const size_t chosen = lane.pool->plain_ ? 0 : choose_waiter(lane, server);
    if (chosen == lane.waiters.size()) {
        if (first_unserved(lane) == nullptr || (free_slot() >= 0 && lane.failing_since_ms == 0)) {
            lane.idle.push_back(&server);
        } else {
            server.close(); // makes room, here or at the server, for one that does fit
        }
        open_for(lane);
        return;
    }
    Session *session = lane.waiters[chosen];
    lane.waiters.erase(lane.waiters.begin() + static_cast<std::ptrdiff_t>(chosen));
    waiting_--;
    count();
    session->on_lease(server);
}

// The first whom it suits, but behind nobody who would be left without a prospect. waiters.size(): none.
size_t Pools::choose_waiter(const Lane &lane, const ServerConnection &server) const {
    const Session *unserved = first_unserved(lane);
    for (size_t i = 0; i < lane.waiters.size(); i++) {
        if (server.fits(*lane.waiters[i])) {
            return i;
        }
        if (lane.waiters[i] == unserved) {
            break;
        }
    }
    return lane.waiters.size();
}

// Another lane's first waiter, if it has waited clearly longer, has nobody to serve him and all slots are taken: the
// connection just released makes room for one of his.
bool Pools::serve_other(Lane &released) {
    if (waiting_ == released.waiters.size() || free_slot() >= 0) {
        return false;
    }
    Lane *hungry = nullptr;
    for_each_lane([&](Lane &lane) {
        if (&lane != &released && lane.node >= 0 && !lane.served() && gives_way(released.open, lane.open, 0) &&
            (hungry == nullptr ||
             lane.waiters.front()->waiting_since_ms() < hungry->waiters.front()->waiting_since_ms())) {
            hungry = &lane;
        }
    });
    if (hungry == nullptr) {
        return false;
    }
    if (!released.waiters.empty() &&
        hungry->waiters.front()->waiting_since_ms() + kMaxOvertakenMs > released.waiters.front()->waiting_since_ms()) {
        return false;
    }
    return serve(*hungry, released);
}

bool Pools::serve(Lane &hungry, Lane &released) {
    for (const auto &server : slots_) {
        if (server != nullptr && &lane_of(*server) == &released && server->state() == ServerConnection::State::idle &&
            !server->cancel_in_flight()) {
            server->close();
            open_for(hungry);
            return true;
        }
    }
    return false;
}

void Pools::on_closed(ServerConnection &server) {
    Lane &lane = lane_of(server);
    erase_one(lane.idle, &server);
    if (server.pool().asked_ == &server) {
        server.pool().asked_ = nullptr;
    }
    const auto slot = static_cast<size_t>(server.slot());
    if (slots_[slot].get() == &server) {
        graveyard_.push_back(std::move(slots_[slot]));
        open_--;
        lane.open--;
        count();
    }
}

void Pools::tick(int64_t now_ms) {
    const auto life = worker_.config().connection_life_time.count();
    const auto connect_limit = worker_.config().connect_timeout.count();
    for (const auto &server : slots_) {
        if (server == nullptr) {
            continue;
        }
        const auto state = server->state();
        server->publish_lessee();
        if (state == ServerConnection::State::idle && life > 0 && now_ms - server->idle_since_ms() >= life &&
            !server->cancel_in_flight()) {
            server->close();
        } else if (state < ServerConnection::State::idle && connect_limit > 0 &&
                   now_ms - server->opened_ms() >= connect_limit) {
            server->time_out_login();
        }
    }
    for_each_lane([&](Lane &lane) {
        if (!lane.waiters.empty()) {
            open_for(lane);
            fail_late_waiters(lane, now_ms);
        }
    });
    want_outdated_facts();
    forget_unused();
    count();
}

// Nobody who has waited for connect_timeout while no connection could be made waits longer.
void Pools::fail_late_waiters(Lane &lane, int64_t now_ms) {
    const auto limit = worker_.config().connect_timeout.count();
    if (lane.failing_since_ms == 0 || lane.open != lane.opening || limit <= 0) {
        return;
    }
    std::vector<Session *> late;
    for (Session *session : lane.waiters) {
        if (now_ms - std::max(session->waiting_since_ms(), lane.failing_since_ms) >= limit) {
            late.push_back(session);
        }
    }
    std::string report;
    append_error(report, "FATAL", "08001", "no connection to a server: " + lane.last_error);
    for (Session *session : late) {
        withdraw(*session);
        session->on_lease_failed(std::string_view(report).substr(kHeaderBytes));
    }
}

// Names come from clients: what nobody uses any more must not be remembered for ever.
void Pools::forget_unused() {
    std::erase_if(pools_, [](const auto &item) { return item.second->unused(); });
    std::erase_if(databases_, [this](const auto &item) {
        return std::none_of(pools_.begin(), pools_.end(),
                            [&](const auto &pool) { return &pool.second->known_ == item.second.get(); });
    });
}

void Pools::recycle() {
    for (const auto &[key, pool] : pools_) {
        pool->told_.clear();
        pool->default_isolation_ = TransactionIsolation::unspecified;
        pool->asked_ = nullptr;
    }
    for (const auto &server : slots_) {
        if (server != nullptr) {
            server->mark_stale();
            if (server->state() == ServerConnection::State::idle && !server->cancel_in_flight()) {
                server->close();
            }
        }
    }
}

void Pools::close_all() {
    for (size_t i = 0; i < slots_.size(); i++) {
        if (slots_[i] != nullptr) {
            slots_[i]->close();
        }
    }
    graveyard_.clear();
}

void Pools::count() {
    WorkerCountersShm &counters = worker_.counters();
    counters.server_connections.store(static_cast<uint64_t>(open_), std::memory_order_relaxed);
    counters.waiting.store(waiting_, std::memory_order_relaxed);
}

} // namespace pgbalancer
