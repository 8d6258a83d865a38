// server_replies.cpp: ServerConnection taking what the server answers. A message either passes through as it is, piece
// by piece, or has to be understood and is looked at whole; replies to pgbalancer's own messages stay here.
#include "child/pool.h"
#include "child/server_connection.h"
#include "child/session.h"
#include "child/worker_process.h"
#include "common/log.h"

#include <algorithm>

namespace pgbalancer {

namespace {

// Of messages that must be looked at whole. PostgreSQL's largest is a RowDescription of 1600 columns.
constexpr size_t kMaxWholeBytes = 1 << 20;
constexpr size_t kMaxErrorHead = 65536;
constexpr uint32_t kMaxMessageLength = 0x40000000;

constexpr char kSync[] = {'S', 0, 0, 0, 4};
constexpr char kFlush[] = {'H', 0, 0, 0, 4};
constexpr char kCloseComplete[] = {'3', 0, 0, 0, 4};

bool is_local(Reply reply) { return reply == Reply::close_locally || reply == Reply::copy_end; }

// Says nothing that pgbalancer must know, unless it answers pgbalancer itself.
bool is_payload(char type) {
    switch (type) {
    case 'd': // CopyData
    case 'D': // DataRow
    case 'V': // FunctionCallResponse
    case 'N': // NoticeResponse
    case 'A': // NotificationResponse
        return true;
    default: return false;
    }
}

} // namespace

size_t ServerConnection::process(std::string_view data) {
    size_t pos = 0;
    if (state_ == State::authenticating) {
        pos = process_login(data);
        if (state_ == State::closed || state_ == State::authenticating) {
            return pos;
        }
    }
    if (pass_through_ && pos < data.size()) {
        if (session_ == nullptr) {
            return pos;
        }
        worker_.to_clients().add(*session_, data.substr(pos));
        worker_.to_clients().flush();
        return data.size();
    }
    while (pos < data.size()) {
        if (rest_bytes_ > 0) {
            const size_t n = std::min<uint64_t>(rest_bytes_, data.size() - pos);
            if (forward_rest_ && session_ != nullptr) {
                worker_.to_clients().add(*session_, data.substr(pos, n));
            }
            pos += n;
            rest_bytes_ -= n;
            continue;
        }
        if (data.size() - pos < kHeaderBytes) {
            break;
        }
        const MessageHeader header = read_header(data.data() + pos);
        if (header.length < 4 || header.length > kMaxMessageLength) {
            protocol_violation("impossible message length");
            return pos;
        }
        if (!expected_.empty() && is_local(expected_.front().reply)) {
            settle_local_replies();
        }
        const bool ours = internal_front();
        if (guard_ != nullptr && guard_->holding() && !ours) {
            bool incomplete = false;
            if (hold_notice(header, data, pos, incomplete)) {
                continue;
            }
            if (incomplete) {
                break;
            }
        }
        if (is_payload(header.type) && !(ours && header.type == 'D')) {
            if (expected_.empty() && header.type != 'N' && header.type != 'A') {
                protocol_violation("data that nobody asked for");
                return pos;
            }
            // What began before the lease is not the session's, even if it ends within it.
            forward_rest_ = session_ != nullptr && !ours && !muted();
            rest_bytes_ = header.total();
            continue;
        }
        if (header.type == 'E' && header.total() > kMaxErrorHead) {
            // It may quote anything. What matters of it comes first, the rest passes through.
            if (data.size() - pos < kMaxErrorHead) {
                break;
            }
            bool forward = session_ != nullptr && !ours && !muted();
            if (!on_message(header.type, data.substr(pos, kMaxErrorHead), forward)) {
                return pos;
            }
            forward_rest_ = forward;
            rest_bytes_ = header.total();
            continue;
        }
        if (data.size() - pos < header.total()) {
            if (header.total() > kMaxWholeBytes) {
                protocol_violation("message too long");
                return pos;
            }
            break;
        }
        const std::string_view message = data.substr(pos, header.total());
        pos += header.total();
        bool forward = session_ != nullptr && !ours && !muted();
        if (!on_message(header.type, message, forward)) {
            return pos;
        }
        if (forward && session_ != nullptr) {
            pass(header.type, message);
        }
        if (session_ != nullptr && session_->lease_ends()) {
            worker_.to_clients().flush();
            session_->finish_lease();
            if (state_ == State::closed) {
                return pos;
            }
        }
    }
    worker_.to_clients().flush();
    if (session_ != nullptr) {
        session_->on_replies_drained();
    }
    return pos;
}

void ServerConnection::settle_local_replies() {
    while (!expected_.empty() && is_local(expected_.front().reply)) {
        const Expectation e = expected_.front();
        expected_.pop();
        decide(e.note);
        if (session_ == nullptr || e.reply == Reply::copy_end) {
            continue;
        }
        pass('3', {kCloseComplete, sizeof kCloseComplete});
    }
}

void ServerConnection::deliver_local_replies() {
    settle_local_replies();
    worker_.to_clients().flush();
}

// Returns false when the connection was closed.
bool ServerConnection::on_message(char type, std::string_view message, bool &forward) {
    const std::string_view body = message.substr(kHeaderBytes);
    switch (type) {
    case 'Z': return on_ready(message, forward);
    case 'E': return on_error(message, forward);
    case 'S': return on_parameter_status(message, forward);
    case '1': return pop(Reply::parse, forward);
    case '2': return pop(Reply::bind, forward);
    case '3': return pop(Reply::close, forward);
    case 'D': on_internal_row(expected_.front().purpose, body); return true;
    case 't':
    case 'T':
    case 'n': on_describe_reply(type, body); return state_ != State::closed;
    case 'C':
        // A statement without effects is none whose tag would tell anything.
        if (session_ != nullptr && session_->unsettled() && !internal_front()) {
            session_->on_command_complete(body.substr(0, body.find('\0')));
        }
        [[fallthrough]];
    case 'I': // EmptyQueryResponse
    case 's': // PortalSuspended
        if (!expected_.empty() && expected_.front().reply == Reply::execute) {
            expected_.pop();
        } else if (expected_.empty() || expected_.front().reply != Reply::query) {
            protocol_violation("completion of nothing");
            return false;
        }
        return true;
    case 'G': on_copy_in(); return true;
    case 'H':
    case 'c': return true;
    default: protocol_violation("unexpected message type"); return false;
    }
}

bool ServerConnection::pop(Reply reply, bool &forward) {
    if (expected_.empty() || expected_.front().reply != reply) {
        protocol_violation("reply out of order");
        return false;
    }
    const Expectation e = expected_.front();
    expected_.pop();
    forward = e.purpose == Purpose::client;
    decide(e.note);
    return true;
}

// The message was answered as was expected of it.
void ServerConnection::decide(uint32_t note) {
    if (note == 0 || note == kUnnamedNote) {
        return;
    }
    const auto at = notes_.find(note);
    if (at == notes_.end()) {
        return;
    }
    if (session_ != nullptr && !at->second.name.empty()) {
        session_->on_statement_decided(at->second.name, note);
    }
    if (at->second.statement) {
        statements_.decide(*at->second.statement, note);
    }
    notes_.erase(at);
}

bool ServerConnection::on_error(std::string_view message, bool &forward) {
    const std::string_view body = message.substr(kHeaderBytes);
    const ServerReport report = read_report(body);
    if (report.fatal()) {
        // Whatever was going on, this is the last thing the server says.
        fatal_seen_ = true;
        forward = session_ != nullptr && !refuse_read(report);
        return true;
    }
    if (expected_.empty()) {
        log_at(LogLevel::warning, "node %d: error out of the blue from server process %u: %.*s", node_, server_pid_,
               static_cast<int>(report.message.size()), report.message.data());
        return true;
    }
    const Expectation e = expected_.front();
    copying_in_ = false;
    describing_ = false;
    if (e.reply == Reply::query || e.reply == Reply::function_call || e.reply == Reply::sync) {
        if (e.purpose != Purpose::client) {
            internal_failed_ = true;
            internal_error_ = {std::string(report.message), std::string(report.sqlstate)};
            internal_report_ = body;
            forward = false;
            return true;
        }
        if (refuse_read(report)) {
            forward = false;
            return true;
        }
        if (session_ != nullptr) {
            session_->on_error(report);
        }
        forward = forward && !forward_renamed(body);
        return true;
    }
    // The extended protocol. Also when the failed message was ours (BEGIN, a lazy Parse), the error is the answer to
    // what the client asked for.
    forward = session_ != nullptr;
    const auto note = e.note != 0 ? notes_.find(e.note) : notes_.end();
    const std::string *substitute =
        note != notes_.end() && !note->second.substitute.empty() ? &note->second.substitute : nullptr;
    if (substitute == nullptr ? refuse_read(report)
                              : refuse_read(read_report(std::string_view(*substitute).substr(kHeaderBytes)), true)) {
        forward = false;
    } else {
        if (substitute != nullptr && session_ != nullptr) {
            worker_.to_clients().add_copy(*session_, *substitute);
            forward = false;
        }
        if (session_ != nullptr) {
            session_->on_error(report);
        }
    }
    // A session that compares has sent nothing since.
    const bool comparing = expected_.at(expected_.size() - 1).purpose == Purpose::compare;
    drop_to_sync();
    forward = forward && !forward_renamed(body); // by the names as they were: what came behind it is undone
    if (comparing && session_ != nullptr) {
        session_->on_exchange_done(Purpose::compare, nullptr, {});
    }
    return true;
}

// An error that names a statement by our name is told with the client's.
bool ServerConnection::forward_renamed(std::string_view body) {
    const size_t at = body.find(kServerStatementPrefix);
    if (at == std::string_view::npos || session_ == nullptr || body.size() + kHeaderBytes >= kMaxErrorHead) {
        return false;
    }
    const size_t end = body.find_first_not_of("0123456789abcdef", at + kServerStatementPrefix.size());
    const std::string_view ours = body.substr(at, end - at);
    const std::string *theirs = session_->client_name_of(ours);
    if (theirs == nullptr || end == std::string_view::npos) {
        return false;
    }
    std::string renamed;
    MessageWriter(renamed).begin('E').bytes(body.substr(0, at)).bytes(*theirs).bytes(body.substr(end)).end();
    worker_.to_clients().add_copy(*session_, renamed);
    return true;
}

void ServerConnection::drop_to_sync() {
    bool only_ours = expected_.front().purpose != Purpose::client;
    size_t skipped = 0;
    bool resume_with_sync = false;
    for (; skipped < expected_.size(); skipped++) {
        Expectation &e = expected_.at(skipped);
        if (e.reply == Reply::sync) {
            break;
        }
        const bool ends_with_ready = e.reply == Reply::query || e.reply == Reply::function_call;
        if (only_ours && e.purpose == Purpose::client && ends_with_ready) {
            // The client's Query came right behind our BEGIN or Parse and was skipped with it; only a Sync of ours
            // makes the server go on, and its ReadyForQuery is the Query's.
            e.reply = Reply::sync;
            resume_with_sync = true;
            break;
        }
        only_ours = only_ours && e.purpose != Purpose::client;
    }
    // What was assumed when they were sent is taken back, the last first.
    for (size_t i = skipped; i-- > 0;) {
        undo(expected_.at(i));
    }
    for (size_t i = 0; i < skipped; i++) {
        expected_.pop();
    }
    skipping_ = expected_.empty();
    if (resume_with_sync && (session_ == nullptr || session_->may_send_sync())) {
        send_sync();
    }
    if (skipping_ && session_ != nullptr) {
        session_->on_skipping();
    }
}

void ServerConnection::send_sync() { send_copy({kSync, sizeof kSync}); }

void ServerConnection::send_flush() { send_copy({kFlush, sizeof kFlush}); }

// The server never came to this message.
void ServerConnection::undo(const Expectation &e) {
    if (e.note == kUnnamedNote) {
        for (size_t i = expected_.size(); i-- > 0 && &expected_.at(i) != &e;) {
            if (expected_.at(i).note == kUnnamedNote) {
                return; // it is another one by now
            }
        }
        // If it was skipped, an earlier one is still there, perhaps another session's: not one to go by.
        unnamed_.version = 0;
        unnamed_.shape = 0;
        if (session_ != nullptr && e.purpose == Purpose::client) {
            session_->on_unnamed_failed();
        }
        return;
    }
    const auto at = notes_.find(e.note);
    if (at == notes_.end()) {
        return;
    }
    const Note note = std::move(at->second);
    notes_.erase(at);
    switch (e.reply) {
    case Reply::parse:
        if (note.statement && !note.materialise) {
            statements_.remove(*note.statement);
        }
        if (session_ != nullptr && !note.name.empty()) {
            session_->on_statement_failed(note);
        }
        break;
    case Reply::close_locally:
        if (session_ != nullptr) {
            session_->on_statement_kept(note);
        }
        break;
    case Reply::close:
        if (e.purpose == Purpose::evict && note.statement) {
            statements_.add(note.statement, note.version);
        }
        break;
    default: break;
    }
}

void ServerConnection::on_describe_reply(char type, std::string_view body) {
    if (expected_.empty()) {
        protocol_violation("description of nothing");
        return;
    }
    const Expectation e = expected_.front();
    if (e.reply == Reply::describe_portal && type != 't') {
        expected_.pop();
        return;
    }
    if (e.reply != Reply::describe_statement) {
        if (e.reply == Reply::query && type == 'T') {
            return; // of a Query's result
        }
        protocol_violation("description out of order");
        return;
    }
    if (type == 't') {
        describing_ = true;
        shape_ = {};
        if (!shape_.add_parameters(body)) {
            protocol_violation("malformed ParameterDescription");
        }
        return;
    }
    if (!describing_ || (type == 'T' && !shape_.add_columns(body))) {
        protocol_violation("malformed description");
        return;
    }
    describing_ = false;
    expected_.pop();
    const auto at = notes_.find(e.note);
    if (at == notes_.end() || session_ == nullptr) {
        return;
    }
    const Note note = std::move(at->second);
    notes_.erase(at);
    if (!note.unnamed) {
        statements_.set_shape(*note.statement, shape_.value());
    } else if (unnamed_.statement == note.statement) {
        unnamed_.shape = shape_.value();
    }
    if (e.purpose == Purpose::compare) {
        const Error changed{"cached plan must not change result type", "0A000"};
        session_->on_exchange_done(Purpose::compare, note.shape == shape_.value() ? nullptr : &changed, {});
    } else {
        session_->on_shape_known(note, shape_.value());
    }
}

bool ServerConnection::on_parameter_status(std::string_view message, bool &forward) {
    FieldReader fields(message.substr(kHeaderBytes));
    const std::string_view name = fields.string();
    const std::string_view value = fields.string();
    if (!fields.ok()) {
        protocol_violation("malformed ParameterStatus");
        return false;
    }
    const std::string_view told = told_value(name, value);
    reported_ = worker_.parameters().with(*reported_, name, told);
    forward = session_ != nullptr && told == value && session_->on_parameter_status(name, value);
    return true;
}

void ServerConnection::on_copy_in() {
    // The server ignores Sync until the copy has ended: those sent before will not be answered.
    size_t end = 0;
    while (end < expected_.size() && expected_.at(end).reply != Reply::copy_end) {
        end++;
    }
    copying_in_ = end == expected_.size();
    if (copying_in_ && session_ != nullptr) {
        session_->on_copy_in();
    }
    for (size_t i = end; i-- > 1;) {
        if (expected_.at(i).reply == Reply::sync) {
            expected_.erase(i);
        }
    }
}

void ServerConnection::on_internal_row(Purpose purpose, std::string_view body) {
    if (purpose == Purpose::probe) {
        if (!read_probe_row(body, probe_)) {
            internal_failed_ = true;
        }
    } else if (purpose == Purpose::defaults) {
        FieldReader fields(body);
        fields.u16();
        internal_value_ = fields.bytes(fields.u32());
    } else if (purpose == Purpose::facts) {
        FieldReader fields(body);
        fields.u16();
        const uint32_t kind_size = fields.u32();
        const std::string_view kind = fields.bytes(kind_size);
        const uint32_t name_size = fields.u32();
        const std::string_view name = fields.bytes(name_size);
        if (fields.ok()) {
            if (kind == "custom_setting:") {
                pool_.known().add_custom_setting(std::string(name));
            } else {
                pool_.known().facts.add_row(kind, name);
            }
        } else {
            internal_failed_ = true;
        }
    }
}

bool ServerConnection::on_ready(std::string_view message, bool &forward) {
    const char status = message.size() == kHeaderBytes + 1 ? message[kHeaderBytes] : '\0';
    if (status != 'I' && status != 'T' && status != 'E') {
        protocol_violation("malformed ReadyForQuery");
        return false;
    }
    if (expected_.empty() || (expected_.front().reply != Reply::query && expected_.front().reply != Reply::sync &&
                              expected_.front().reply != Reply::function_call)) {
        protocol_violation("ReadyForQuery out of order");
        return false;
    }
    const Purpose purpose = expected_.front().purpose;
    expected_.pop();
    while (!expected_.empty() && expected_.front().reply == Reply::copy_end) {
        expected_.pop();
    }
    transaction_status_ = status;
    copying_in_ = false;
    if (purpose == Purpose::client) {
        if (session_ != nullptr && muted()) {
            forward = false;
            session_->on_read_refused();
            return true;
        }
        forward = session_ != nullptr && session_->on_ready(status);
        return state_ != State::closed;
    }
    forward = false;
    internal_finished(purpose, status);
    return state_ != State::closed;
}

void ServerConnection::internal_finished(Purpose purpose, char status) {
    const bool failed = std::exchange(internal_failed_, false);
    switch (purpose) {
    case Purpose::cleanup:
        if (failed) {
            close();
            return;
        }
        if (expected_.empty()) {
            if (status != 'I') {
                close();
                return;
            }
            if (discarding_) {
                discarding_ = false;
                settings_ = born_with_;
                sequence_owner_ = 0;
                forget_statements();
            }
            publish_info({});
            end_lease();
        }
        return;
    case Purpose::defaults:
        pool_.take_default_isolation(*this, failed ? std::string() : std::exchange(internal_value_, {}));
        end_lease();
        return;
    case Purpose::facts: {
        Database &known = pool_.known();
        collecting_ = false;
        known.facts_loading = false;
        if (failed) {
            known.facts.abandon();
            known.retry_ms = worker_.now_ms() + 1000;
            log_at(LogLevel::warning, "database %s: catalog facts could not be read: %s", pool_.database().c_str(),
                   internal_error_.message.c_str());
        } else {
            known.facts.finish();
            known.facts_ms = worker_.now_ms();
        }
        end_lease();
        return;
    }
    default: {
        const std::string report = std::exchange(internal_report_, {});
        if (session_ != nullptr) {
            session_->on_exchange_done(purpose, failed ? &internal_error_ : nullptr, report);
        }
        return;
    }
    }
}

} // namespace pgbalancer
