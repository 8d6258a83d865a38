// session_begin.cpp: Session in a transaction that no server knows of yet: the deferred BEGIN, and what ends it.
#include "child/pool.h"
#include "child/pooler_commands.h"
#include "child/server_connection.h"
#include "child/session.h"
#include "child/setting_names.h"
#include "child/worker_process.h"

#include <algorithm>
#include <utility>

namespace pgbalancer {

namespace {

constexpr size_t kMaxDeferredText = 256;
constexpr int kMaxBatchMessages = 6; // Parse, Describe, Bind, Describe, Execute, Sync

} // namespace

char Session::local_status() const {
    return virtual_ == Virtual::none ? 'I' : virtual_ == Virtual::deferred ? 'T' : 'E';
}

void Session::defer_begin(std::string_view text) {
    virtual_ = Virtual::deferred;
    begin_ = intern(text, std::string_view("\0\0", 2));
}

// Takes a transaction command that no server needs to hear of. `out` receives the answer without ReadyForQuery.
bool Session::virtual_command(const StatementRef &statement, std::string_view text, std::string &out) {
    const Classification &what = statement->what();
    if (virtual_ == Virtual::none) {
        if (what.kind != StatementKind::begin || !worker_.config().lazy_begin || text.size() > kMaxDeferredText ||
            pins_ != kNotPinned) {
            return false;
        }
        defer_begin(text);
        append_command_complete(out, starts_transaction(text) ? "START TRANSACTION" : "BEGIN");
        return true;
    }
    const bool failed = virtual_ == Virtual::failed;
    switch (what.kind) {
    case StatementKind::commit:
    case StatementKind::rollback:
        if ((what.effects & kChain) != 0) {
            if (failed) {
                virtual_ = Virtual::deferred;
                append_command_complete(out, "ROLLBACK");
                return true;
            }
            return false;
        }
        virtual_ = Virtual::none;
        begin_ = {};
        note_transaction_end(route_, worker_.routing().how());
        append_command_complete(out, failed || what.kind == StatementKind::rollback ? "ROLLBACK" : "COMMIT");
        return true;
    case StatementKind::begin:
        if (failed || what.access != TransactionAccess::unspecified ||
            what.isolation != TransactionIsolation::unspecified || text.size() > kMaxDeferredText ||
            has_options(text)) {
            break;
        }
        append_notice(out, "WARNING", "25001", "there is already a transaction in progress");
        append_command_complete(out, starts_transaction(text) ? "START TRANSACTION" : "BEGIN");
        return true;
    default: break;
    }
    if (failed) {
        if (failed_read_) {
            return false; // fail_on_server()
        }
        append_error(out, "ERROR", "25P02",
                     "current transaction is aborted, commands ignored until end of transaction block");
        return true;
    }
    return false;
}

bool Session::on_virtual_query(const StatementRef &statement, std::string_view text) {
    const StatementKind kind = statement->what().kind;
    if (virtual_ == Virtual::none && kind != StatementKind::begin) {
        return false;
    }
    std::string out;
    if (!virtual_command(statement, text, out)) {
        return false;
    }
    unnamed_ = {};
    append_ready(out, local_status());
    reply(out);
    bump(worker_.counters().queries);
    if (virtual_ == Virtual::none) {
        bump(worker_.counters().transactions);
    }
    return true;
}

// Cheap and cautious: false means that a batch which begins with this Parse is surely none for on_virtual_batch().
bool Session::may_be_virtual_batch(std::string_view parse) const {
    if (!may_answer_here()) {
        return false;
    }
    if (server_ == nullptr && virtual_ != Virtual::none) {
        return true;
    }
    FieldReader fields(parse.substr(kHeaderBytes));
    (void)fields.string();
    const std::string_view text = fields.rest(); // and whatever follows it: its beginning matters
    return may_be_begin(text) || may_be_pooler_command(text) || (!named_.empty() && may_be_deallocate(text));
}

// The statement that this DEALLOCATE ends, if no server connection has it under the client's name: then none needs to
// hear of it. Null otherwise.
const NamedStatement *Session::deallocated_here(const Classification &what) {
    if (what.kind != StatementKind::deallocate || virtual_ == Virtual::failed) {
        return nullptr;
    }
    const NamedStatement *named = named_.find(what.name);
    return named != nullptr && !named->materialised ? named : nullptr;
}

bool Session::on_local_deallocate(const StatementRef &statement) {
    const NamedStatement *named = deallocated_here(statement->what());
    if (named == nullptr) {
        return false;
    }
    named_.remove(named->name);
    unnamed_ = {};
    std::string out;
    append_command_complete(out, "DEALLOCATE");
    append_ready(out, server_ != nullptr ? server_->transaction_status() : local_status());
    reply(out);
    bump(worker_.counters().queries);
    return true;
}

// The same for the extended protocol: Parse and Bind, or Bind of a prepared statement, perhaps Describe, Execute and
// Sync, of a transaction command, a DEALLOCATE or a command that pgbalancer answers itself, alone. `wait`: so far it is
// one, the rest must still come.
size_t Session::on_virtual_batch(std::string_view data, bool &wait) {
    const bool defers = server_ == nullptr && (virtual_ != Virtual::none || worker_.config().lazy_begin);
    bool pooler_command = false;
    const NamedStatement *deallocated = nullptr;
    size_t pos = 0;
    std::string out;
    PreparedStatementRef parsed;
    PreparedStatementRef bound;
    bool executed = false;
    int messages = 0;
    std::string_view parsed_name;
    for (;;) {
        if (data.size() - pos < kHeaderBytes) {
            wait = pos > 0; // nothing yet says that it is one
            return 0;
        }
        const MessageHeader header = read_header(data.data() + pos);
        if (check_frontend_header(header) != FrontendCheck::ok || header.total() > kMaxDeferredText + 64 ||
            ++messages > kMaxBatchMessages) {
            return 0;
        }
        if (data.size() - pos < header.total()) {
            wait = pos > 0;
            return 0;
        }
        FieldReader fields(data.substr(pos + kHeaderBytes, header.body()));
        pos += header.total();
        switch (header.type) {
        case 'P': {
            const std::string_view name = fields.string();
            const std::string_view text = fields.string();
            pooler_command = virtual_ != Virtual::failed && is_pooler_command(text);
            const bool transactional = defers && (virtual_ != Virtual::none || may_be_begin(text));
            if (parsed || bound || !fields.ok() || (!transactional && !pooler_command && !may_be_deallocate(text)) ||
                (!name.empty() && (!pooler_command || named_.find(name) != nullptr))) {
                return 0;
            }
            parsed_name = name;
            parsed = intern(text, fields.rest());
            out.append({'1', 0, 0, 0, 4});
            break;
        }
        case 'B': {
            const std::string_view portal = fields.string();
            const std::string_view name = fields.string();
            NamedStatement *named = name.empty() ? &unnamed_ : named_.find(name);
            if (bound || !portal.empty() || !fields.ok()) {
                return 0;
            }
            bound = parsed && name == parsed_name ? parsed
                    : named != nullptr            ? named->statement
                                                  : PreparedStatementRef();
            if (!bound) {
                return 0;
            }
            pooler_command = virtual_ != Virtual::failed && is_pooler_command(bound->text());
            deallocated = deallocated_here(bound->statement()->what());
            if (!pooler_command && deallocated == nullptr &&
                !(defers && is_transaction_command(bound->statement()->what().kind))) {
                return 0;
            }
            out.append({'2', 0, 0, 0, 4});
            break;
        }
        case 'D': {
            const uint8_t what = fields.u8();
            const std::string_view name = fields.string();
            if (what == 'S' && pooler_command && parsed && !bound && name == parsed_name) {
                out.append({'t', 0, 0, 0, 6, 0, 0});
                answer_pooler_command(parsed->text(), *this).append_description(out);
                break;
            }
            if (!bound || executed || what != 'P' || !name.empty()) {
                return 0;
            }
            if (pooler_command) {
                answer_pooler_command(bound->text(), *this).append_description(out);
            } else {
                out.append({'n', 0, 0, 0, 4});
            }
            break;
        }
        case 'E':
            if (!bound || executed || !fields.string().empty()) {
                return 0;
            }
            executed = true;
            break;
        case 'S': {
            if (!executed && !(pooler_command && parsed && !bound)) {
                return 0;
            }
            if (virtual_ == Virtual::failed && bound->statement()->what().kind == StatementKind::begin) {
                return 0;
            }
            std::string answer;
            if (pooler_command) {
                if (executed) {
                    answer_pooler_command(bound->text(), *this).append_rows(answer);
                }
            } else if (deallocated != nullptr) {
                named_.remove(deallocated->name);
                append_command_complete(answer, "DEALLOCATE");
            } else if (!virtual_command(bound->statement(), bound->text(), answer)) {
                return 0;
            }
            if (parsed) {
                NamedStatement statement{
                    .name = std::string(parsed_name), .statement = parsed, .version = parsed->version()};
                if (parsed_name.empty()) {
                    unnamed_ = std::move(statement);
                } else {
                    named_.define(std::move(statement));
                }
            }
            out += answer;
            append_ready(out, server_ != nullptr ? server_->transaction_status() : local_status());
            reply(out);
            return pos;
        }
        default: return 0;
        }
    }
}

void Session::send_deferred_begin() {
    virtual_ = Virtual::none;
    // Without a Sync: should it fail, the server skips what follows as well.
    std::string messages;
    MessageWriter w(messages);
    w.begin('P').string("").string(begin_->text()).u16(0).end();
    w.begin('B').string("").string("").u16(0).u16(0).u16(0).end();
    w.begin('E').string("").u32(0).end();
    server_->send_copy(messages);
    server_->expect(Reply::parse, Purpose::begin);
    server_->expect(Reply::bind, Purpose::begin);
    server_->expect(Reply::execute, Purpose::begin);
    server_->unnamed() = {true, std::exchange(begin_, {}), 0, 0, server_->batch()}; // none of the client's
    begin_portal_ = true;
}

// The client is about to use an unnamed portal and has not bound one: it must not meet that of the BEGIN.
void Session::drop_begin_portal() {
    if (!std::exchange(begin_portal_, false)) {
        return;
    }
    std::string message;
    MessageWriter w(message);
    w.begin('C').u8('P').string("").end();
    server_->send_copy(message);
    server_->expect(Reply::close, Purpose::begin);
}

// A transaction of which no server has heard failed with a read on a standby, and the client goes on in it. PostgreSQL
// has more to say of that than that it failed: what is wrong with a statement, or which savepoint there is none of. So
// it becomes a failed transaction of the primary's. The message comes again when it is one.
void Session::fail_on_server() {
    if (!ensure_server()) {
        return;
    }
    virtual_ = Virtual::none;
    std::string sql(begin_->text());
    sql.append(";\nRELEASE ").append(kNoStatement);
    begin_ = {};
    server_->send_internal_query(sql, Purpose::fail);
    worker_.to_servers().flush();
    pause_ |= kPausedForExchange;
}

// An error of ours in the place of the server's, while the session waits for a server connection.
void Session::fail_locally(std::string_view sqlstate, std::string_view message) {
    if (phase_ != Phase::ready || in_.empty()) {
        end(sqlstate, message);
        return;
    }
    bump(worker_.counters().errors);
    waiting_statement_ = {};
    batch_left_ = 0;
    primary_only_ = false;
    if (virtual_ == Virtual::deferred) {
        virtual_ = Virtual::failed;
        failed_read_ = false;
    }
    std::string out;
    append_error(out, "ERROR", sqlstate, message);
    const MessageHeader header = read_header(in_.view().data());
    if (header.type == 'Q' || header.type == 'F') {
        append_ready(out, local_status());
    } else {
        discarding_ = true;
    }
    reply(out);
    // The message that waited is consumed; of a large one the rest is still to come.
    const size_t n = std::min(in_.size(), header.total());
    in_.consume(n);
    rest_bytes_ = header.total() - n;
    forward_rest_ = false;
    process_buffered();
    worker_.to_clients().flush();
    update_interest();
}

} // namespace pgbalancer
