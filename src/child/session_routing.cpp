// session_routing.cpp: Session choosing the node for what comes next, and reads on a standby.
//
// A lease on a standby is for one Query, or for one batch up to Sync, that is nothing but reads (reading_). It ends
// with its ReadyForQuery, whatever the client believes its transaction to be, and nothing is sent behind it before.
// What the standby cannot run is put back before the bytes not handled yet, and handled again on the primary
// (run_on_primary).
#include "child/batch_reader.h"
#include "child/pool.h"
#include "child/server_connection.h"
#include "child/session.h"
#include "child/statement_counts.h"
#include "child/worker_process.h"
#include "common/clock.h"
#include "common/log.h"

#include <array>
#include <utility>

namespace pgbalancer {

namespace {

// What a read may have been noted for that leaves nothing behind on its server connection.
constexpr uint32_t kTraceless = kNow | kNodeBound | kVolatile | kLocks | kReadsSequenceState;

RoutingNeed unfit_batch() { return {.standby = false, .why = RouteReason::batch, .hintable = false}; }

int64_t monotonic_us() { return std::chrono::duration_cast<std::chrono::microseconds>(monotonic_now()).count(); }

} // namespace

// The statements that a batch has parsed before the message looked at.
class ParsedAhead {
  public:
    // False: there are too many.
    bool define(std::string_view name, PreparedStatementRef statement) {
        for (size_t i = 0; i < count_; i++) {
            if (names_[i] == name) {
                statements_[i] = std::move(statement);
                return true;
            }
        }
        if (count_ == names_.size()) {
            return false;
        }
        names_[count_] = name;
        statements_[count_++] = std::move(statement);
        return true;
    }
    const PreparedStatementRef *find(std::string_view name) const {
        for (size_t i = 0; i < count_; i++) {
            if (names_[i] == name) {
                return &statements_[i];
            }
        }
        return nullptr;
    }
    const PreparedStatementRef *last() const { return count_ == 0 ? nullptr : &statements_[count_ - 1]; }

  private:
    std::array<std::string_view, 4> names_;
    std::array<PreparedStatementRef, 4> statements_;
    size_t count_ = 0;
};

// -- Where to.

bool Session::ensure_server() {
    if (server_ != nullptr) {
        return true;
    }
    batch_left_ = 0; // the primary
    routed_ = {.node = worker_.pools().primary(),
               .reason = worker_.topology().any_standby() ? RouteReason::unreadable : RouteReason::single};
    route_counted_ = false;
    return lease();
}

bool Session::ensure_server_for_query(const StatementRef &statement, std::string_view text, std::string_view message) {
    if (server_ == nullptr) {
        batch_left_ = 0;
        if (worker_.topology().any_standby()) {
            RoutingNeed need = worker_.routing().need_of(*statement, pool_->known().facts, text);
            if (message.size() > BatchReader::kMaxBytes) {
                need.merge(unfit_batch());
            }
            choose_node(need, message.size());
        } else {
            choose_single();
        }
    }
    return lease_chosen(message);
}

bool Session::ensure_server_for_batch(std::string_view data) {
    if (server_ == nullptr) {
        batch_left_ = 0;
        if (worker_.topology().any_standby()) {
            RoutingNeed need;
            size_t bytes = 0;
            if (!look_ahead(data, need, bytes)) {
                return false;
            }
            choose_node(need, bytes);
        } else {
            choose_single();
        }
    }
    return lease_chosen(data);
}

bool Session::lease_chosen(std::string_view data) {
    if (server_ == nullptr && !lease()) {
        return false;
    }
    if (batch_left_ > 0 && !reading_) {
        begin_read(data.substr(0, batch_left_));
    }
    return true;
}

void Session::choose_node(const RoutingNeed &need, size_t bytes) {
    const Topology &nodes = worker_.topology();
    const LoadBalancing &how = worker_.routing().how();
    if (primary_only_) {
        routed_ = {.node = nodes.primary(), .reason = RouteReason::retried};
    } else if (real_names_) {
        // Where its statements are prepared under the client's names only its own server connection knows.
        routed_ = {.node = nodes.primary(), .reason = RouteReason::session};
    } else {
        note_isolation();
        if (route_.read_from >= 0 && nodes.standbys() > 1 && how.fresh) {
            route_.changed_us = worker_.shared().last_change_us();
        }
        const int64_t global_mark_us = how.global ? worker_.shared().last_write_us() : 0;
        routed_ = decide_route(need, route_, nodes, how, global_mark_us, worker_.dice().roll());
        if (routed_.node != nodes.primary() && worker_.pools().out_of_reach(*pool_, routed_.node)) {
            routed_ = {.node = nodes.primary(), .reason = RouteReason::unusable};
        }
        note_route(route_, routed_, nodes);
    }
    route_counted_ = false;
    batch_left_ = routed_.node != nodes.primary() ? static_cast<uint32_t>(bytes) : 0;
}

void Session::choose_single() {
    routed_ = {.node = worker_.pools().primary(), .reason = RouteReason::single};
    route_counted_ = false;
}

// A statement is about to be sent. Routes are counted once per Query or batch.
void Session::count_statement_sent(const StatementRef &statement, std::string_view text) {
    NodeCountersShm &counters = worker_.shared().node_counters(worker_.index(), server_->node());
    if (!std::exchange(route_counted_, true)) {
        bump(counters.routed[static_cast<size_t>(routed_.reason)]);
    }
    count_statement(counters, statement->what());
    if (worker_.config().log_per_node_statement || worker_.config().notice_per_node_statement) {
        tell_route(text);
    }
}

// log_per_node_statement, notice_per_node_statement: in pgpool's words.
void Session::tell_route(std::string_view text) {
    constexpr size_t kLongestShown = 1024;
    NodeSnapshot node;
    (void)worker_.shared().read_node(server_->node(), node);
    const std::string_view reason = route_reason_text(routed_.reason);
    const std::string where = "DB node id: " + std::to_string(node.id);
    const std::string what(text.substr(0, kLongestShown));
    if (worker_.config().log_per_node_statement) {
        log_at(LogLevel::notice, "%s backend pid: %u reason: %.*s statement: %s", where.c_str(), server_->server_pid(),
               static_cast<int>(reason.size()), reason.data(), what.c_str());
    }
    // In the middle of a reply there is no place for it.
    if (worker_.config().notice_per_node_statement && !server_->mid_reply()) {
        std::string out;
        append_notice(out, "NOTICE", "00000", where + " reason: " + std::string(reason) + " statement: " + what);
        reply(out);
    }
}

// What comes next stays on the server connection.
void Session::note_tied() {
    if (server_ == nullptr || reading_ || !route_counted_) {
        return;
    }
    if (worker_.topology().any_standby()) {
        RouteSession tied;
        tied.tie = tie();
        routed_ = decide_route({}, tied, worker_.topology(), worker_.routing().how(), 0, 0);
    }
    route_counted_ = false;
}

Tie Session::tie() const {
    if ((pins_ & kPinnedByMode) != 0) {
        return Tie::session_mode;
    }
    if (pins_ != kNotPinned) {
        return Tie::pinned;
    }
    return server_ != nullptr ? Tie::transaction : Tie::none;
}

RouteSession Session::route_state() {
    note_isolation();
    route_.tie = tie();
    const RouteSession state = route_;
    route_.tie = Tie::none;
    return state;
}

// What the client's transaction is, or the next one would be, as far as no server knows of it.
void Session::note_isolation() {
    TransactionIsolation level = settings_->default_isolation();
    if (level == TransactionIsolation::unspecified) {
        level = pool_->default_isolation();
    }
    switch (level) {
    case TransactionIsolation::read_uncommitted:
    case TransactionIsolation::read_committed: route_.isolation = DefaultIsolation::read_committed; break;
    case TransactionIsolation::repeatable_read: route_.isolation = DefaultIsolation::repeatable_read; break;
    default: route_.isolation = DefaultIsolation::serializable; break; // or not known yet
    }
    route_.announced = virtual_ == Virtual::deferred ? announced_by(begin_->statement()->what(), route_.isolation)
                                                     : Announced::no_transaction;
}

RoutingNeed Session::need_of(const PreparedStatementRef &statement) {
    (void)effects_of(statement->statement()); // the facts may have to be forgotten first
    return worker_.routing().need_of(*statement->statement(), pool_->known().facts, statement->text());
}

// -- The batch as a whole.

// What all of it needs, up to Sync, or to a Flush with which nothing has been bound; `bytes` is its size. As soon as
// something in it is the primary's, no more is looked at. False: the rest must come first.
bool Session::look_ahead(std::string_view data, RoutingNeed &need, size_t &bytes) {
    ParsedAhead parsed;
    BatchReader reader(data);
    bool bound = false;
    while (need.standby || (need.hintable && need.hint != RoutingHint::none)) {
        const BatchReader::Step step = reader.next();
        if (step == BatchReader::Step::incomplete) {
            return false;
        }
        bytes = reader.bytes();
        FieldReader fields(reader.body());
        bool fits = step == BatchReader::Step::message;
        switch (fits ? reader.type() : '\0') {
        case 'S': return true;
        case 'H':
            if (!bound) {
                return true;
            }
            fits = false; // who sends it wants answers before it goes on
            break;
        case 'P': {
            const std::string_view name = fields.string();
            const std::string_view text = fields.string();
            if (fits = fields.ok(); fits) {
                ahead_ = intern(text, fields.rest());
                need.merge(need_of(ahead_));
                fits = parsed.define(name, ahead_);
            }
            break;
        }
        case 'B': {
            // A named portal, and one that is not read to its end, outlives Sync in a transaction.
            const bool unnamed = fields.string().empty();
            bound = true;
            fits = unnamed && merge_need_of(fields.string(), parsed, need);
            break;
        }
        case 'D': {
            const bool of_statement = fields.u8() == 'S';
            const std::string_view name = fields.string();
            fits = of_statement ? merge_need_of(name, parsed, need) : bound && name.empty();
            break;
        }
        case 'E': {
            const bool unnamed = fields.string().empty();
            fits = bound && unnamed && (fields.u32() == 0 || virtual_ == Virtual::none);
            break;
        }
        case 'C': break;
        default: fits = false; break;
        }
        if (!fits || !fields.ok()) {
            need.merge(unfit_batch());
        }
    }
    return true;
}

// False: no statement of this name is known, or it is prepared under the client's own name.
bool Session::merge_need_of(std::string_view name, const ParsedAhead &parsed, RoutingNeed &need) {
    if (const PreparedStatementRef *statement = parsed.find(name)) {
        need.merge(need_of(*statement));
        return true;
    }
    const NamedStatement *named = name.empty() ? &unnamed_ : named_.find(name);
    if (named == nullptr || !named->statement || named->materialised) {
        return false;
    }
    need.merge(need_of(named->statement));
    return true;
}

// -- A read on a standby.

void Session::begin_read(std::string_view batch) {
    ReadGuard &guard = server_->begin_read(batch);
    reading_ = true;
    BatchReader reader(batch);
    while (reader.next() == BatchReader::Step::message) {
        FieldReader fields(reader.body());
        const char type = reader.type();
        if (type != 'P' && ((type != 'C' && type != 'D') || fields.u8() != 'S')) {
            continue;
        }
        const std::string_view name = fields.string();
        if (name.empty()) {
            continue;
        }
        NamedStatement before;
        before.name = name;
        if (const NamedStatement *named = named_.find(name)) {
            before = *named;
        }
        guard.before().push_back(std::move(before));
    }
}

// ReadyForQuery. Returns whether the server's own is to be passed on.
bool Session::end_read() {
    reading_ = false;
    batch_left_ = 0;
    note_read();
    pause_ &= static_cast<uint8_t>(~(kPausedForReady | kPausedForOutcome)); // gone on with when the lease has ended
    if ((std::exchange(effects_, 0) & ~kTraceless) != 0) {
        server_->mark_stale(); // sent to a standby by a hint: whatever it left there goes with the connection
    }
    setting_.reset();
    lease_ends_ = true;
    const bool failed = std::exchange(batch_failed_, false);
    if (std::exchange(sync_is_ours_, false)) {
        discarding_ = failed;
        virtual_ = failed && virtual_ == Virtual::deferred ? Virtual::failed : virtual_;
        return false;
    }
    if (virtual_ == Virtual::none) {
        bump(worker_.counters().transactions);
        note_transaction_end(route_, worker_.routing().how());
        return true;
    }
    if (failed) {
        virtual_ = Virtual::failed;
        failed_read_ = true;
    }
    std::string out;
    append_ready(out, local_status());
    reply(out);
    return false;
}

// What the standby has shown was written before now.
void Session::note_read() {
    route_.read_from = static_cast<int16_t>(server_->node());
    if (worker_.topology().size() > 2) {
        using std::chrono::microseconds;
        constexpr microseconds kLongestTick{10000};
        route_.read_us = (std::chrono::duration_cast<microseconds>(coarse_monotonic_now()) + kLongestTick).count();
    }
}

// Parse and Describe, and a client that wants to know what came of them. Nothing has been run, so nobody will notice
// that the batch ends here, and what is bound next may go elsewhere.
void Session::flush_read() {
    server_->send_sync();
    server_->stop_skipping();
    server_->expect(Reply::sync);
    sync_is_ours_ = true;
}

void Session::on_read_refused() {
    run_again_ = true;
    lease_ends_ = true;
}

// The standby was lost: nothing of its answer has been passed on, or nothing was sent to it yet.
bool Session::read_can_go_elsewhere(ServerConnection &server) const {
    const ReadGuard *guard = server.read_guard();
    return reading_ ? guard != nullptr && guard->may_run_again() : batch_left_ > 0;
}

// It does not take the session's settings.
void Session::leave_standby() {
    ServerConnection *server = detach();
    run_on_primary(*server);
    server->mark_stale();
    server->abandon();
    go_on();
}

void Session::run_on_primary(ServerConnection &server) {
    constexpr uint8_t kAboutTheServer =
        kPausedForExchange | kPausedByServer | kPausedByQueue | kPausedForReady | kPausedForOutcome;
    pause_ &= static_cast<uint8_t>(~kAboutTheServer);
    primary_only_ = true;
    run_again_ = false;
    batch_failed_ = false;
    effects_ = 0;
    setting_.reset();
    shape_changed_ = false;
    sync_is_ours_ = false;
    const uint32_t left = std::exchange(batch_left_, 0);
    if (!std::exchange(reading_, false)) {
        return; // what it is about is still to be handled
    }
    ReadGuard &guard = *server.read_guard();
    for (NamedStatement &named : guard.before()) {
        if (named.statement) {
            named_.define(std::move(named));
        } else {
            named_.remove(named.name);
        }
    }
    if (guard.why() == Refusal::lasting) {
        learn_refusal(guard.batch());
    }
    in_.consume(left);
    std::string rest(in_.view());
    in_.clear();
    in_.append(guard.batch());
    in_.append(rest);
}

// Nothing had been answered, so it was the first statement that was to run.
void Session::learn_refusal(std::string_view batch) {
    const CatalogFacts &facts = pool_->known().facts;
    ParsedAhead parsed;
    BatchReader reader(batch);
    while (reader.next() == BatchReader::Step::message) {
        FieldReader fields(reader.body());
        if (reader.type() == 'Q') {
            const StatementRef statement = worker_.statements().classify(fields.string(), lex_rules());
            worker_.routing().refuse_standbys(*statement, facts);
            return;
        }
        if (reader.type() == 'P') {
            const std::string_view name = fields.string();
            const std::string_view text = fields.string();
            (void)parsed.define(name, intern(text, fields.rest()));
        } else if (reader.type() == 'B') {
            (void)fields.string();
            const std::string_view name = fields.string();
            const PreparedStatementRef *statement = parsed.find(name);
            if (statement == nullptr) {
                const NamedStatement *named = name.empty() ? &unnamed_ : named_.find(name);
                statement = named != nullptr ? &named->statement : nullptr;
            }
            if (statement != nullptr && *statement) {
                worker_.routing().refuse_standbys(*(*statement)->statement(), facts);
            }
            return;
        }
    }
    if (const PreparedStatementRef *statement = parsed.last()) {
        worker_.routing().refuse_standbys(*(*statement)->statement(), facts);
    }
}

// -- What a session must see.

void Session::note_changes(const StatementRef &statement, std::string_view text) {
    if (changes_ || reading_ || !worker_.notes_changes()) {
        return;
    }
    if (worker_.routing().need_of(*statement, pool_->known().facts, text).changes) {
        begin_changes();
    }
}

void Session::begin_changes() {
    if (!changes_) {
        changes_ = true;
        bump(worker_.counters().changing);
    }
}

void Session::end_changes() {
    if (std::exchange(changes_, false)) {
        drop(worker_.counters().changing);
    }
}

// The server's ReadyForQuery is about to be passed on. `quiet`: nothing is under way behind it.
void Session::note_completion(char status, bool quiet) {
    if (status != 'I') {
        in_block_ = true;
        return;
    }
    if (changes_ && worker_.notes_changes()) {
        const int64_t now_us = monotonic_us();
        note_write(route_, now_us, in_block_);
        worker_.shared().note_write(now_us);
    }
    if (quiet) {
        end_changes();
    }
    in_block_ = false;
    note_transaction_end(route_, worker_.routing().how());
}

ServerConnection *Session::detach() {
    ServerConnection *server = std::exchange(server_, nullptr);
    if (server != nullptr) {
        drop(worker_.counters().active_connections);
        worker_.topology().lease_ends(server->node());
        if (changes_) { // its outcome is not known: it may be done by now
            worker_.shared().note_write(monotonic_us());
            end_changes();
        }
    }
    return server;
}

} // namespace pgbalancer
