// session_transaction.cpp: Session at the boundaries of transactions: the lease, ReadyForQuery, settings, pins, probe.
#include "child/login_state.h"
#include "child/pool.h"
#include "child/server_connection.h"
#include "child/session.h"
#include "child/setting_names.h"
#include "child/worker_process.h"
#include "common/log.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace pgbalancer {

namespace {

// What a probe can find traces of.
constexpr uint32_t kProbedEffects = kOpaque | kPinListen | kPinTempObject | kPinHoldCursor | kPinAdvisoryLock |
                                    kPinPrepare | kPinSetting | kSetsSetting | kResets;

} // namespace

// -- The lease.

bool Session::lease() {
    if (!std::exchange(asks_again_, false)) {
        waiting_since_ms_ = worker_.now_ms();
    }
    const int node = batch_left_ > 0 ? routed_.node : worker_.pools().primary();
    ServerConnection *server = worker_.pools().lease(*this, node);
    if (server == nullptr) {
        pause_ |= kPausedForLease;
        return false;
    }
    attach(*server);
    return pause_ == 0;
}

bool Session::leaves_unknown_state() const {
    return (pins_ & (kPinnedByLoad | kPinnedByUnknown)) != 0 ||
           ((traces_ | effects_) & (kPinLoad | kPinSession | kPinTempObject)) != 0;
}

void Session::attach(ServerConnection &server) {
    server_ = &server;
    traces_ = 0;
    lease_ends_ = false;
    batch_failed_ = false;
    server.lease_to(*this);
    bump(worker_.counters().active_connections);
    worker_.topology().lease_begins(server.node());
    if (!is_replication()) {
        bring_in_line();
    }
}

void Session::on_lease(ServerConnection &server) {
    attach(server);
    if (phase_ == Phase::login) {
        pause_ &= static_cast<uint8_t>(~kPausedForLease);
        if (pause_ == 0) {
            complete_login();
            worker_.to_clients().flush();
        }
        go_on();
        return;
    }
    resume(kPausedForLease);
}

void Session::look_again() {
    if (!waiting()) {
        return;
    }
    asks_again_ = true;
    if (phase_ == Phase::login) {
        pause_ &= static_cast<uint8_t>(~kPausedForLease);
        login_with_server();
        go_on();
    } else {
        resume(kPausedForLease);
    }
    asks_again_ = false;
}

void Session::on_lease_failed(std::string_view report_body) {
    pause_ &= static_cast<uint8_t>(~kPausedForLease);
    server_ = nullptr;
    std::string out;
    append_error_as_fatal(out, report_body);
    end_with(out);
}

// As far as the text of search_path shows.
bool Session::searches_temp_schema() const {
    const std::string *path = settings_->find("search_path");
    return path != nullptr && strcasestr(path->c_str(), "pg_temp") != nullptr;
}

// The server connection is given the session's settings. It waits for the answer: were a setting refused, what follows
// must not run with the wrong one.
void Session::bring_in_line() {
    if (server_->settings() == settings_) {
        report_changes();
        return;
    }
    // How a text is read depends on encoding and quoting rules: those are established before it is sent.
    const std::string reading = settings_difference(*server_->settings(), *settings_, SettingsPart::reading);
    const std::string sql = settings_difference(*server_->settings(), *settings_, SettingsPart::others);
    if (!reading.empty()) {
        server_->send_internal_query(reading, sql.empty() ? Purpose::settings : Purpose::reading);
    }
    if (sql.empty() && reading.empty()) {
        server_->set_settings(settings_);
        report_changes();
        return;
    }
    if (!sql.empty()) {
        server_->send_internal_query(sql, Purpose::settings);
    }
    worker_.to_servers().flush();
    pause_ |= kPausedForExchange;
}

void Session::finish_lease() {
    lease_ends_ = false;
    ServerConnection *server = detach();
    if (server == nullptr) {
        return;
    }
    if (std::exchange(run_again_, false)) {
        run_on_primary(*server);
    } else {
        primary_only_ = false;
    }
    server->end_lease();
    if (worker_.draining() && phase_ == Phase::ready && at_boundary()) {
        end("57P01", "terminating connection due to administrator command");
        return;
    }
    go_on();
}

// -- What the statements have left behind.

// A custom setting that has been reset remains, as an empty string, for the session that had set it.
ParameterSetRef Session::keeping_custom(ParameterSet::Entries entries) const {
    for (const auto &before : settings_->entries()) {
        if (before.name.find('.') != std::string::npos &&
            std::none_of(entries.begin(), entries.end(), [&](const auto &now) { return now.name == before.name; })) {
            entries.push_back({before.name, setting_statement(before.name, "")});
        }
    }
    return worker_.parameters().intern(std::move(entries));
}

bool Session::on_ready(char status) {
    activity_ms_ = worker_.now_ms(); // from here on the client may be idle
    if (reading_) {
        return end_read();
    }
    note_completion(status, server_->quiet());
    if (!server_->quiet()) {
        if (status == 'I') {
            bump(worker_.counters().transactions);
        }
        batch_failed_ = false;
        if (setting_) {
            setting_->alone = false; // what comes behind it may fail by itself: the probe will tell
        }
        return true; // more is under way
    }
    if (mid_message()) {
        // CopyData of a copy that has failed. The server must have all of it before anything of ours.
        ready_overdue_ = true;
        held_ready_ = status;
        return false;
    }
    constexpr uint8_t kUntilReady = kPausedForReady | kPausedForOutcome;
    const bool barred = (pause_ & kUntilReady) != 0;
    pause_ &= static_cast<uint8_t>(~kUntilReady); // gone on with after the reply, or when the exchange is over
    if (status == 'I') {
        bump(worker_.counters().transactions);
        if (effects_ == 0 && pins_ == kNotPinned) {
            batch_failed_ = false;
            lease_ends_ = true;
            return true;
        }
        return settle();
    }
    batch_failed_ = false;
    if (status == 'E') {
        setting_.reset(); // all of it will be rolled back
    }
    if (status == 'T' && setting_ && !setting_->resets.empty()) {
        setting_->alone = false;
        restore_startup(std::exchange(setting_->resets, {}), status);
    }
    if (held_ready_ == 0) {
        report_changes(); // else when the startup values are back
    }
    go_on_after_ready_ = barred && held_ready_ == 0;
    return held_ready_ == 0;
}

uint16_t Session::pin_forever(uint32_t effects) const {
    uint16_t pins = 0;
    if (loaded_) {
        pins |= kPinnedByLoad;
    }
    if (worker_.config().sequence_pin &&
        ((effects & kPinSequence) != 0 || ((effects & kSerialInsert) != 0 && pool_->asks_sequences()))) {
        pins |= kPinnedBySequence;
    }
    if ((effects & kPinSession) != 0 || ((effects & kPinSetting) != 0 && (effects & kSetsRole) == 0)) {
        pins |= kPinnedByUnknown;
    }
    return pins;
}

bool Session::wants_probe(uint32_t effects) const {
    if ((pins_ & ~kProbedReasons) != 0) {
        return false; // tied for good
    }
    if (pins_ != kNotPinned) {
        return (effects & (kMayUnpin | kResets | kDeallocatesAll)) != 0;
    }
    return (effects & kProbedEffects) != 0;
}

// The server says that no transaction is open: what did the statements since the last time leave behind? Returns
// whether ReadyForQuery may be passed on at once.
bool Session::settle() {
    const uint32_t effects = std::exchange(effects_, 0);
    traces_ |= effects;
    const std::unique_ptr<PendingSetting> pending = std::move(setting_);
    const bool failed = std::exchange(batch_failed_, false);
    SharedState &shared = worker_.shared();
    if ((effects & kDdl) != 0) {
        shared.facts_generation().fetch_add(1, std::memory_order_acq_rel);
    }
    if ((effects & kAltersDefaults) != 0) {
        shared.defaults_generation().fetch_add(1, std::memory_order_acq_rel);
    }
    set_pins(pins_ | pin_forever(effects));
    if ((effects & kMayMoveSequences) != 0) {
        const uint64_t before = server_->sequence_owner();
        server_->set_sequence_owner(before == 0 || before == identity_ ? identity_ : kUnknownSequenceOwner);
        owns_sequences_ = true;
        pool_->not_plain();
    }
    if ((effects & kPinTempObject) != 0) {
        server_->note_temp_schema();
    }
    loaded_ = false;
    unknown_ = false;
    deallocating_.reset();
    const bool alone =
        pending && pending->alone && pins_ == kNotPinned && (effects & ~(kSetsSetting | kResets | kMayUnpin)) == 0;
    if (alone) {
        if (!failed && !pending->resets.empty()) {
            const std::string &name = pending->name;
            const ParameterSetRef defaults =
                name == "all" ? worker_.no_settings() : worker_.parameters().without(*settings_, name);
            const std::string *at_start = startup_->find(name);
            const ParameterSetRef here = name == "all"         ? startup_
                                         : at_start != nullptr ? worker_.parameters().with(*settings_, name, *at_start)
                                                               : defaults;
            server_->set_settings(keeping_custom((resets_by_itself() ? here : defaults)->copy()));
            settings_ = keeping_custom(here->copy());
            held_ready_ = 'I';
            bring_in_line();
            if (pause_ != 0) {
                return false;
            }
            held_ready_ = 0;
        } else if (!failed) {
            settings_ = worker_.parameters().with(*settings_, pending->name, pending->statement);
            server_->set_settings(settings_);
        }
        lease_ends_ = true;
        return true;
    }
    if (wants_probe(effects)) {
        held_ready_ = 'I';
        start_probe();
        return false;
    }
    if (pending && !pending->resets.empty() && !resets_by_itself()) {
        if (!pending->alone) { // what was reset may have been set since, or the other way round
            held_ready_ = 'I';
            start_probe();
            return false;
        }
        if (!failed) {
            restore_startup(pending->resets, 'I');
        }
        if (held_ready_ != 0) {
            return false;
        }
    }
    if ((effects & kResets) != 0) {
        report_changes(); // what on_parameter_status() did not pass on
    }
    if (pins_ == kNotPinned) {
        lease_ends_ = true;
    }
    go_on_after_ready_ = !lease_ends_;
    return true;
}

void Session::start_probe() {
    server_->send_internal_query(probe_query(pool_->known().custom_settings), Purpose::probe);
    worker_.to_servers().flush();
    pause_ |= kPausedForExchange;
}

void Session::apply_probe() {
    ProbeResult found = server_->take_probe();
    if (found.temp_schema) {
        server_->note_temp_schema();
    }
    set_pins(static_cast<uint16_t>((pins_ & ~kProbedReasons) | found.reasons));
    ParameterSet::Entries entries = startup_->copy();
    if (resets_by_itself()) {
        // A custom setting that was asked for and is not among those found is empty.
        for (const std::string &name : pool_->known().custom_settings) {
            if (startup_->find(name) != nullptr) {
                entries.push_back({name, setting_statement(name, "")});
            }
        }
    }
    entries.insert(entries.end(), found.settings.begin(), found.settings.end());
    const ParameterSetRef here = keeping_custom(std::move(entries));
    server_->set_settings(resets_by_itself() ? here : keeping_custom(std::move(found.settings)));
    settings_ = here;
    bring_in_line(); // where something was reset behind our back to less than the client started with
}

void Session::set_pins(uint16_t pins) {
    if (pins_ == pins) {
        return;
    }
    pins_ = pins;
    if (server_ != nullptr) {
        server_->publish_info(pin_reason_text(pins));
        server_->publish_lease();
    }
}

void Session::on_exchange_done(Purpose purpose, const Error *error, std::string_view report_body) {
    if (purpose == Purpose::compare) {
        shape_changed_ = error != nullptr;
        resume(kPausedForExchange);
        return;
    }
    if (purpose == Purpose::fail) {
        resume(kPausedForExchange);
        return;
    }
    if (purpose == Purpose::reading && error == nullptr) {
        return; // the other settings follow
    }
    if (error != nullptr && purpose == Purpose::probe && error->sqlstate == "57014" && !probed_again_) {
        probed_again_ = true; // a cancel request that came too late for the client's statement
        start_probe();
        return;
    }
    probed_again_ = false;
    if (error != nullptr) {
        log_at(phase_ == Phase::login ? LogLevel::info : LogLevel::error, "session %u: %s: %s", index_,
               purpose == Purpose::probe ? "probe" : "settings", error->message.c_str());
        if (phase_ == Phase::ready && batch_left_ > 0 && !reading_) {
            leave_standby();
            return;
        }
        if (phase_ == Phase::login || purpose != Purpose::probe) {
            // At login the client asked for a setting that the server refuses. Later it is one that was accepted
            // before: going on without it would be worse than ending.
            std::string out;
            append_error_as_fatal(out, report_body);
            end_with(out);
            return;
        }
        set_pins(pins_ | kPinnedByUnknown); // nothing is known: the safe side
    } else if (purpose == Purpose::probe) {
        pause_ &= static_cast<uint8_t>(~kPausedForExchange);
        apply_probe();
        if ((pause_ & kPausedForExchange) != 0) {
            return;
        }
    } else if (!std::exchange(restoring_, false)) {
        server_->set_settings(settings_);
    }
    pause_ &= static_cast<uint8_t>(~kPausedForExchange);
    if (phase_ == Phase::login) {
        complete_login();
        worker_.to_clients().flush();
        go_on();
        return;
    }
    report_changes();
    release_ready();
    if (std::exchange(cancel_later_, false) && server_ != nullptr && !server_->quiet()) {
        worker_.cancels().send(*server_);
    }
}

// What was held back while pgbalancer talked to the server.
void Session::release_ready() {
    if (held_ready_ != 0) {
        const char status = std::exchange(held_ready_, 0);
        std::string out;
        append_ready(out, status);
        reply(out);
        worker_.to_clients().flush();
        if (status == 'I' && pins_ == kNotPinned && server_->quiet() && rest_bytes_ == 0) {
            finish_lease();
        }
    }
    go_on();
}

void Session::on_command_complete(std::string_view tag) {
    if (tag == "PREPARE") {
        real_names_ = true;
    } else if (deallocating_ && tag == "DEALLOCATE") {
        named_.remove(*deallocating_);
        deallocating_.reset();
    }
    if (unknown_ && !tag.starts_with("SELECT") && !tag.starts_with("INSERT") && !tag.starts_with("UPDATE") &&
        !tag.starts_with("DELETE") && !tag.starts_with("MERGE") && !tag.starts_with("COPY")) {
        effects_ |= kDdl; // whatever it was, it was none of these
    }
    if ((effects_ & kPinLoad) != 0 && tag == "LOAD") {
        loaded_ = true;
    }
    if ((effects_ & kDeallocatesAll) != 0 && (tag == "DEALLOCATE ALL" || tag == "DISCARD ALL")) {
        server_->forget_statements();
        named_.clear();
    }
}

void Session::on_error(const ServerReport &report) {
    batch_failed_ = true;
    bump(worker_.counters().errors);
    bump(worker_.shared().node_counters(worker_.index(), server_->node()).errors);
    if (report.sqlstate == "26000" && report.message.find(kServerStatementPrefix) != std::string_view::npos &&
        report.message.find(kNoStatement) == std::string_view::npos) {
        server_->mark_stale(); // something removed our statements behind our back
    }
}

bool Session::may_send_sync() {
    sync_overdue_ = mid_message();
    return !sync_overdue_;
}

void Session::on_skipping() {
    if ((pause_ & kPausedForReady) != 0) {
        pause_ &= static_cast<uint8_t>(~kPausedForReady); // what was to end first will not be run
        go_on_after_ready_ = true;
    }
}

void Session::on_copy_in() {
    if ((pause_ & kPausedForReady) != 0) {
        pause_ &= static_cast<uint8_t>(~kPausedForReady); // it will not end by itself
        go_on_after_ready_ = true;
    }
}

bool Session::on_parameter_status(std::string_view name, std::string_view value) {
    if (phase_ != Phase::ready) {
        return false; // reported with the rest when the login is complete
    }
    const std::string *before = told_->find(name);
    if (before != nullptr && *before == value) {
        return false;
    }
    if (((effects_ & kResets) != 0 && !resets_by_itself()) || restoring_) {
        return false; // what the client started with is about to be restored: report_changes() tells the outcome
    }
    told_ = worker_.parameters().with(*told_, name, value);
    lex_rules_changed();
    return true;
}

// The server connection reports other values than the last one did.
void Session::report_changes() {
    if (phase_ != Phase::ready || told_ == server_->reported()) {
        return;
    }
    std::string out;
    for (const auto &entry : server_->reported()->entries()) {
        const std::string *before = told_->find(entry.name);
        if (before == nullptr || *before != entry.value) {
            append_parameter_status(out, entry.name, entry.value);
        }
    }
    told_ = server_->reported();
    lex_rules_changed();
    if (!out.empty()) {
        reply(out);
    }
}

void Session::lex_rules_changed() {
    const std::string *scs = told_->find("standard_conforming_strings");
    const std::string *encoding = told_->find("client_encoding");
    lex_rules_.standard_conforming_strings = scs == nullptr || *scs != "off";
    lex_rules_.ascii_is_ascii = encoding == nullptr || !encoding_embeds_ascii(*encoding);
}

} // namespace pgbalancer
