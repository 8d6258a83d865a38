// session_messages.cpp: Session taking what its client sends. A message is either understood, and then it is whole in
// one span, or it is streamed. Nothing is consumed as long as the session must wait for something; the same message
// comes again then.
#include "child/pool.h"
#include "child/pooler_commands.h"
#include "child/server_connection.h"
#include "child/session.h"
#include "child/worker_process.h"

#include <algorithm>
#include <utility>

namespace pgbalancer {

namespace {

// Query and Parse up to this size are buffered and classified; larger ones are streamed and taken for anything.
constexpr size_t kMaxUnderstoodBytes = 256 * 1024;
// Portal and statement name of a Bind must end within this.
constexpr size_t kMaxNamesBytes = 8192;

constexpr char kCloseComplete[] = {'3', 0, 0, 0, 4};

std::string_view until_nul(std::string_view bytes) { return bytes.substr(0, find_nul(bytes)); }

} // namespace

size_t Session::handle(MessageHeader header, std::string_view data) {
    if (const FrontendCheck check = check_frontend_header(header); check != FrontendCheck::ok) {
        refuse_header(header, check);
        return 0;
    }
    if (header.type == 'X') {
        if (must_finish_first()) {
            pause_ |= kPausedForReady; // what was sent before it is answered before it
            return 0;
        }
        gone();
        return 0;
    }
    if (discarding_ && header.type != 'S') {
        return start_streaming(header, data, false);
    }
    if (virtual_ == Virtual::failed) {
        bool wait = false;
        const size_t taken = refuse_in_failed_transaction(header, data, wait);
        if (taken > 0 || wait) {
            return taken;
        }
    }
    if (read_under_way() || must_give_way(header.type)) {
        pause_ |= kPausedForReady;
        return 0;
    }
    switch (header.type) {
    case 'B': return on_bind(header, data);
    case 'd': return on_copy_data(header, data);
    case 'F': return on_function_call(header, data);
    case 'Q':
    case 'P':
        if (header.total() > kMaxUnderstoodBytes) {
            return on_large(header, data);
        }
        break;
    default: break;
    }
    if (header.type == 'P' && may_be_virtual_batch(data)) {
        bool wait = false;
        const size_t taken = on_virtual_batch(data, wait);
        if (taken > 0 || wait) {
            return taken;
        }
    }
    if (data.size() < header.total()) {
        return 0;
    }
    const std::string_view message = data.substr(0, header.total());
    bool taken = false;
    switch (header.type) {
    case 'Q': taken = on_query(message); break;
    case 'P': taken = on_parse(message, data); break;
    case 'D': taken = on_describe(message, data); break;
    case 'E': taken = on_execute(message); break;
    case 'C': taken = on_close(message); break;
    case 'S': taken = on_sync(message); break;
    case 'H': taken = on_flush(message); break;
    default: taken = on_copy_end(message); break; // 'c', 'f'
    }
    if (taken && server_ != nullptr && server_->queue_full()) {
        pause_ |= kPausedByQueue;
    }
    return taken ? header.total() : 0;
}

void Session::refuse_header(MessageHeader header, FrontendCheck check) {
    if (check == FrontendCheck::bad_length) {
        protocol_violation("invalid message length");
        return;
    }
    protocol_violation("invalid frontend message type " +
                       std::to_string(static_cast<int>(static_cast<unsigned char>(header.type))));
}

// The transaction failed before a server heard of it: only its end is accepted, unless it can become a failed one of a
// server's. 0 and not `wait`: to be handled as usual.
size_t Session::refuse_in_failed_transaction(MessageHeader header, std::string_view data, bool &wait) {
    switch (header.type) {
    case 'P':
    case 'B':
        if (server_ != nullptr) {
            break;
        }
        if (const size_t taken = on_virtual_batch(data, wait); taken > 0 || wait) {
            return taken;
        }
        break;
    case 'Q':
        if (header.total() <= kMaxUnderstoodBytes) {
            return 0; // on_virtual_query
        }
        break;
    case 'D':
    case 'E':
    case 'F': break;
    default: return 0;
    }
    if (failed_read_) {
        fail_on_server();
        wait = true;
        return 0;
    }
    bump(worker_.counters().errors);
    std::string out;
    append_error(out, "ERROR", "25P02",
                 "current transaction is aborted, commands ignored until end of transaction block");
    if (header.type == 'Q' || header.type == 'F') {
        append_ready(out, 'E');
    } else {
        discarding_ = true;
    }
    reply(out);
    return start_streaming(header, data, false);
}

// A client that sends its next statement before the last is answered would keep the server connection for ever: as long
// as others wait, one statement or batch is under way at a time.
bool Session::must_give_way(char type) const {
    return server_ != nullptr && worker_.pools().anyone_waits_for(*server_) && pins_ == kNotPinned && type != 'd' &&
           type != 'c' && type != 'f' && type != 'S' && type != 'H' && server_->ends_by_itself();
}

// Passes the message on (or drops it) as its bytes come.
size_t Session::start_streaming(MessageHeader header, std::string_view data, bool forward) {
    const size_t n = std::min(data.size(), header.total());
    if (forward) {
        server_->send(data.substr(0, n));
    }
    forward_rest_ = forward;
    rest_bytes_ = header.total() - n;
    on_streamed();
    return n;
}

// What had to wait for the end of the message passing through.
void Session::on_streamed() {
    if (rest_bytes_ > 0) {
        return;
    }
    if (std::exchange(barrier_overdue_, false)) {
        pause_ |= kPausedForReady;
    }
    if (std::exchange(sync_overdue_, false) && server_ != nullptr) {
        server_->send_sync();
    }
    if (std::exchange(ready_overdue_, false) && server_ != nullptr) {
        worker_.to_servers().flush();
        const char status = std::exchange(held_ready_, 0);
        if (on_ready(status)) {
            held_ready_ = status;
            release_ready();
        }
    }
}

void Session::barrier() {
    if (barrier_) {
        barrier_ = false;
        pause_ |= kPausedForReady;
    }
}

bool Session::on_query(std::string_view message) {
    const std::string_view text = until_nul(message.substr(kHeaderBytes));
    if (virtual_ != Virtual::failed && may_answer_here() && on_local_command(text)) {
        return true;
    }
    if (server_ != nullptr && server_->skipping()) {
        server_->send(message); // ignored there, as it would be without us
        return true;
    }
    StatementRef statement = std::move(waiting_statement_);
    if (!statement) {
        statement = worker_.statements().classify(text, lex_rules());
    }
    if (server_ == nullptr && on_virtual_query(statement, text)) {
        return true;
    }
    if (may_answer_here() && on_local_deallocate(statement)) {
        return true;
    }
    if (virtual_ == Virtual::failed) {
        fail_on_server();
        waiting_statement_ = std::move(statement);
        return false;
    }
    const uint32_t effects = effects_of(statement);
    if ((effects & kNamesPrepared) != 0 && awaits_answers()) {
        waiting_statement_ = std::move(statement);
        return false;
    }
    const Birth birth = birth_for(statement, effects, text);
    if (birth == Birth::wrong) {
        unnamed_ = {};
        refuse_reset();
        server_->send_sync(); // its ReadyForQuery is the Query's
        server_->expect(Reply::sync);
        return true;
    }
    if (birth == Birth::wait || !ensure_server_for_query(statement, text, message) ||
        own_sequences(effects) == Sequences::wait) {
        waiting_statement_ = std::move(statement);
        return false;
    }
    // Should our BEGIN fail, the server skips what is there.
    barrier_ = barrier_ || (virtual_ == Virtual::deferred && !reading_);
    open_deferred_transaction();
    note_effects(statement, effects, text);
    note_tied();
    count_statement_sent(statement, text);
    if (unnamed_.statement) {
        unnamed_ = {};
    }
    server_->unnamed() = {};
    server_->expect(Reply::query);
    server_->send(message);
    bump(worker_.counters().queries);
    barrier();
    return true;
}

// Nothing is under way with a server, so that an answer given here comes in the right order.
bool Session::may_answer_here() const {
    return server_ == nullptr || (server_->quiet() && server_->transaction_status() != 'E');
}

bool Session::on_local_command(std::string_view text) {
    if (!is_pooler_command(text)) {
        return false;
    }
    const PoolerAnswer answer = answer_pooler_command(text, *this);
    std::string out;
    answer.append_description(out);
    answer.append_rows(out);
    append_ready(out, server_ != nullptr ? server_->transaction_status() : local_status());
    reply(out);
    return true;
}

PreparedStatementRef Session::intern(std::string_view text, std::string_view types) {
    const PreparedStatementTable::Context context{
        .settings = settings_->meaning(),
        .rules = lex_rules(),
        .catalog_generation = worker_.shared().facts_generation().load(std::memory_order_acquire),
        .now_ms = worker_.now_ms(),
        .likely = ahead_ ? ahead_ : unnamed_.statement};
    return worker_.prepared().intern(text, types, context, worker_.statements());
}

// Something that ends statements by SQL is under way: which there are is known once all so far is answered.
bool Session::deallocation_under_way() {
    return ((effects_ & kDeallocatesAll) != 0 || deallocating_) && awaits_answers();
}

bool Session::awaits_answers() {
    if (server_ == nullptr) {
        return false;
    }
    server_->deliver_local_replies();
    if (server_->expected().empty() || server_->copying_in()) {
        return false;
    }
    server_->send_flush();
    pause_ |= kPausedForOutcome;
    return true;
}

// The client's statement of this name; null if there is none. `wait`: that depends on an earlier batch which has not
// been answered yet.
NamedStatement *Session::statement_named(std::string_view name, bool &wait) {
    if (deallocation_under_way()) {
        wait = true;
        return nullptr;
    }
    NamedStatement *named = name.empty() ? &unnamed_ : named_.find(name);
    if (named == nullptr || server_ == nullptr) {
        return named;
    }
    if (name.empty()) {
        wait = server_->unnamed_undecided();
    } else {
        wait = (named->undecided != 0 && named->batch != server_->batch()) || undecided_here(*named->statement);
    }
    if (wait) {
        pause_ |= kPausedForOutcome;
        return nullptr;
    }
    return named->undecided != 0 && named->closed ? nullptr : named;
}

// Whether the server connection has the statement depends on an earlier batch.
bool Session::undecided_here(const PreparedStatement &statement) const {
    const auto *there = server_->statements().touch(statement);
    return there != nullptr && there->undecided != 0 && there->batch != server_->batch();
}

bool Session::on_parse(std::string_view message, std::string_view data) {
    FieldReader fields(message.substr(kHeaderBytes));
    const std::string_view name = fields.string();
    const std::string_view text = fields.string();
    PreparedStatementRef statement;
    uint32_t effects = 0;
    if (fields.ok() && (server_ == nullptr || !server_->skipping())) {
        statement = intern(text, fields.rest());
        effects = effects_of(statement->statement());
        // On the wrong connection Bind is refused, if it comes to that.
        if (birth_in_batch(statement->statement(), effects, text, data, message.size()) == Birth::wait) {
            return false;
        }
    }
    if (!ensure_server_for_batch(data)) {
        return false;
    }
    if (server_->skipping()) {
        server_->send(message);
        return true;
    }
    open_deferred_transaction();
    if (!fields.ok()) {
        server_->expect(Reply::parse); // the server will say what is wrong with it
        server_->send(message);
        return true;
    }
    if (name.empty()) {
        if (own_sequences(effects) == Sequences::wait) {
            return false;
        }
        unnamed_.replace(std::move(statement));
        server_->unnamed() = {true, unnamed_.statement, unnamed_.version, 0, server_->batch()};
        server_->expect(Reply::parse, Purpose::client, kUnnamedNote);
        server_->send(message);
        return true;
    }
    bool wait = false;
    const NamedStatement *old = statement_named(name, wait);
    if (wait) {
        return false;
    }
    if (undecided_here(*statement)) {
        pause_ |= kPausedForOutcome;
        return false;
    }
    NamedStatement named;
    named.name = name;
    named.statement = statement;
    named.version = statement->version();
    named.batch = server_->batch();
    Note note;
    note.name = name;
    note.statement = statement;
    if (real_names_ && !name.starts_with(kServerStatementPrefix) && (old == nullptr || old->materialised)) {
        uint32_t number = 0;
        if (old == nullptr) {
            note.statement = {};
            number = server_->add_note(std::move(note));
            named.undecided = number;
            named.materialised = true;
            named_.define(std::move(named));
        }
        effects_ |= kPinSession;
        server_->expect(Reply::parse, Purpose::client, number);
        server_->send(message);
        return true;
    }
    if (old != nullptr) {
        // Only what is fit to be prepared is told that its name is taken.
        parse_on_server(kNoStatement, statement, Purpose::prepare, 0);
        close_on_server(kNoStatement, Purpose::evict, 0);
        force_error("42P05", "prepared statement \"" + std::string(name) + "\" already exists");
        return true;
    }
    if (const auto *there = server_->statements().touch(*statement)) {
        // Parsed anew, as the client asked: what it refers to may have changed.
        Note former;
        former.statement = statement;
        former.version = there->version;
        server_->statements().remove(*statement);
        close_on_server(statement->server_name(), Purpose::evict, server_->add_note(std::move(former)));
    } else {
        make_room_for_statement();
    }
    named.undecided = server_->add_note(std::move(note));
    server_->statements().add(statement, named.version, named.undecided, named.batch);
    parse_on_server(statement->server_name(), statement, Purpose::client, named.undecided);
    named_.define(std::move(named));
    return true;
}

void Session::parse_on_server(std::string_view name, const PreparedStatementRef &statement, Purpose purpose,
                              uint32_t note) {
    std::string message;
    message.reserve(kHeaderBytes + name.size() + statement->text().size() + statement->types().size() + 2);
    MessageWriter w(message);
    w.begin('P').string(name).string(statement->text()).bytes(statement->types()).end();
    server_->send_copy(message);
    server_->expect(Reply::parse, purpose, note);
    bump(worker_.counters().prepared);
}

void Session::close_on_server(std::string_view name, Purpose purpose, uint32_t note) {
    std::string message;
    MessageWriter w(message);
    w.begin('C').u8('S').string(name).end();
    server_->send_copy(message);
    server_->expect(Reply::close, purpose, note);
}

void Session::make_room_for_statement() {
    for (;;) {
        const auto evicted = server_->statements().evict();
        if (!evicted.statement) {
            return;
        }
        Note note;
        note.statement = evicted.statement;
        note.version = evicted.version;
        close_on_server(evicted.statement->server_name(), Purpose::evict, server_->add_note(std::move(note)));
    }
}

// Makes sure the leased server connection has the statement as this client knows it. False: the session waits for
// the comparison of what the client was shown with what the statement returns there.
bool Session::prepared_here(NamedStatement &named) {
    const bool unnamed = named.name.empty();
    const PreparedStatementRef &statement = named.statement;
    bool present = false;
    uint64_t shape = 0;
    if (unnamed) {
        const auto &there = server_->unnamed();
        present = there.statement == statement && there.version >= named.version;
        shape = there.shape;
    } else if (const auto *there = server_->statements().touch(*statement)) {
        present = there->version >= named.version;
        shape = there->shape;
        if (!present) {
            Note note;
            note.statement = statement;
            note.version = there->version;
            server_->statements().remove(*statement);
            close_on_server(statement->server_name(), Purpose::evict, server_->add_note(std::move(note)));
        }
    } else {
        make_room_for_statement();
    }
    if (present && (named.shape == 0 || named.shape == shape)) {
        return true;
    }
    if (present && shape != 0) {
        shape_changed_ = true;
        return true;
    }
    const Purpose purpose = named.shape != 0 ? Purpose::compare : Purpose::prepare;
    const std::string_view name = unnamed ? std::string_view() : std::string_view(statement->server_name());
    if (!present) {
        uint32_t note_number = kUnnamedNote;
        if (unnamed) {
            server_->unnamed() = {true, statement, named.version, 0, server_->batch()};
        } else {
            Note note;
            note.statement = statement;
            note_number = server_->add_note(std::move(note));
            server_->statements().add(statement, named.version, note_number, server_->batch());
        }
        parse_on_server(name, statement, purpose, note_number);
    }
    if (purpose == Purpose::prepare) {
        return true; // never described: whatever it returns, the client will learn it with the result
    }
    Note note;
    note.statement = statement;
    note.unnamed = unnamed;
    note.shape = named.shape;
    std::string message;
    MessageWriter w(message);
    w.begin('D').u8('S').string(name).end();
    w.begin('H').end();
    server_->send_copy(message);
    server_->expect(Reply::describe_statement, Purpose::compare, server_->add_note(std::move(note)));
    worker_.to_servers().flush();
    pause_ |= kPausedForExchange;
    return false;
}

// Makes the server fail here, so that it skips what it would skip, and tells the client why in our words.
void Session::force_error(std::string_view sqlstate, std::string_view message, std::string_view detail,
                          std::string_view hint) {
    Note note;
    append_error(note.substitute, "ERROR", sqlstate, message, detail, hint);
    std::string bind;
    MessageWriter w(bind);
    w.begin('B').string("").string(kNoStatement).u16(0).u16(0).u16(0).end();
    server_->send_copy(bind);
    server_->expect(Reply::bind, Purpose::client, server_->add_note(std::move(note)));
}

size_t Session::on_bind(MessageHeader header, std::string_view data) {
    const std::string_view body = data.substr(kHeaderBytes, header.body());
    const size_t portal_end = find_nul(body);
    const size_t name_end = portal_end == std::string_view::npos ? portal_end : find_nul(body, portal_end + 1);
    if (name_end == std::string_view::npos) {
        if (data.size() >= header.total() || body.size() > kMaxNamesBytes) {
            protocol_violation("invalid message format");
        }
        return 0;
    }
    if (may_answer_here()) {
        bool wait = false;
        const size_t taken = on_virtual_batch(data, wait);
        if (taken > 0 || wait) {
            return taken;
        }
    }
    const std::string_view name = body.substr(portal_end + 1, name_end - portal_end - 1);
    bool undecided = false;
    NamedStatement *named = statement_named(name, undecided);
    if (undecided) {
        return 0;
    }
    uint32_t effects = 0;
    Birth birth = Birth::right;
    if (named != nullptr && named->statement && (server_ == nullptr || !server_->skipping())) {
        const StatementRef &statement = named->statement->statement();
        effects = effects_of(statement);
        birth = birth_in_batch(statement, effects, named->statement->text(), data, header.total());
        if (birth == Birth::wait || ((effects & kNamesPrepared) != 0 && awaits_answers())) {
            return 0;
        }
    }
    if (!ensure_server_for_batch(data)) {
        return 0;
    }
    if (server_->skipping()) {
        return start_streaming(header, data, true);
    }
    open_deferred_transaction();
    if (named == nullptr || !named->statement) {
        if (name.empty() && server_->unnamed().exists && server_->unnamed().statement) {
            // Another session's unnamed statement is no business of this client.
            close_on_server({}, Purpose::evict, 0);
            server_->unnamed() = {};
        } else if (name.starts_with(kServerStatementPrefix)) {
            force_error("26000", "prepared statement \"" + std::string(name) + "\" does not exist");
            return start_streaming(header, data, false);
        }
        note_unknown_statement();
        begin_portal_ = begin_portal_ && portal_end > 0;
        server_->expect(Reply::bind);
        return start_streaming(header, data, true);
    }
    if (birth == Birth::wrong) {
        refuse_reset();
        return start_streaming(header, data, false);
    }
    if (!named->materialised && !prepared_here(*named)) {
        return 0;
    }
    if (std::exchange(shape_changed_, false)) {
        force_error("0A000", "cached plan must not change result type");
        return start_streaming(header, data, false);
    }
    switch (own_sequences(effects)) {
    case Sequences::own: break;
    case Sequences::wait: return 0;
    case Sequences::foreign:
        force_error("55000", "lastval is not yet defined in this session");
        return start_streaming(header, data, false);
    }
    note_effects(named->statement->statement(), effects, named->statement->text());
    count_statement_sent(named->statement->statement(), named->statement->text());
    server_->expect(Reply::bind);
    begin_portal_ = begin_portal_ && portal_end > 0;
    if (name.empty() || named->materialised) {
        return start_streaming(header, data, true);
    }
    const std::string &server_name = named->statement->server_name();
    char head[kHeaderBytes] = {'B'};
    write_u32(head + 1, static_cast<uint32_t>(header.length - name.size() + server_name.size()));
    server_->send_copy({head, sizeof head});
    server_->send_copy(body.substr(0, portal_end + 1));
    server_->send_copy(server_name);
    // The rest, from the NUL after the statement's name on.
    const size_t skipped = kHeaderBytes + name_end;
    const size_t n = std::min(data.size(), header.total());
    server_->send(data.substr(skipped, n - skipped));
    forward_rest_ = true;
    rest_bytes_ = header.total() - n;
    return n;
}

bool Session::on_describe(std::string_view message, std::string_view data) {
    if (!ensure_server_for_batch(data)) {
        return false;
    }
    if (server_->skipping()) {
        server_->send(message);
        return true;
    }
    open_deferred_transaction();
    const std::string_view body = message.substr(kHeaderBytes);
    const std::string_view name = body.empty() ? body : until_nul(body.substr(1));
    if (body.empty() || body[0] != 'S') {
        drop_begin_portal();
        server_->expect(Reply::describe_portal);
        server_->send(message);
        return true;
    }
    bool wait = false;
    NamedStatement *named = statement_named(name, wait);
    if (wait) {
        return false;
    }
    if (named == nullptr || !named->statement) {
        if (name.empty() && server_->unnamed().exists && server_->unnamed().statement) {
            close_on_server({}, Purpose::evict, 0);
            server_->unnamed() = {};
        } else if (name.starts_with(kServerStatementPrefix)) {
            force_error("26000", "prepared statement \"" + std::string(name) + "\" does not exist");
            return true;
        }
        server_->expect(Reply::describe_statement);
        server_->send(message);
        return true;
    }
    if (!named->materialised && !prepared_here(*named)) {
        return false;
    }
    if (std::exchange(shape_changed_, false)) {
        force_error("0A000", "cached plan must not change result type");
        return true;
    }
    Note note;
    note.name = name;
    note.statement = named->statement;
    note.unnamed = name.empty();
    server_->expect(Reply::describe_statement, Purpose::client, server_->add_note(std::move(note)));
    if (name.empty() || named->materialised) {
        server_->send(message);
        return true;
    }
    std::string renamed;
    MessageWriter w(renamed);
    w.begin('D').u8('S').string(named->statement->server_name()).end();
    server_->send_copy(renamed);
    return true;
}

bool Session::on_execute(std::string_view message) {
    if (!ensure_server()) {
        return false;
    }
    if (!server_->skipping()) {
        open_deferred_transaction();
        drop_begin_portal();
        server_->expect(Reply::execute);
        bump(worker_.counters().queries);
    }
    server_->send(message);
    return true;
}

bool Session::on_close(std::string_view message) {
    const std::string_view body = message.substr(kHeaderBytes);
    const bool of_statement = !body.empty() && body[0] == 'S';
    const std::string_view name = body.empty() ? body : until_nul(body.substr(1));
    if (server_ != nullptr && server_->skipping()) {
        server_->send(message);
        return true;
    }
    bool wait = false;
    NamedStatement *named = of_statement && !name.empty() ? statement_named(name, wait) : nullptr;
    if (wait) {
        return false;
    }
    if (server_ == nullptr) {
        // Nothing of the client's is on any server but virtual statements.
        if (of_statement && name.empty()) {
            unnamed_ = {};
        } else if (named != nullptr) {
            named_.remove(name);
        }
        reply({kCloseComplete, sizeof kCloseComplete});
        return true;
    }
    open_deferred_transaction();
    if (named != nullptr && !named->materialised) {
        Note note;
        note.name = name;
        note.statement = named->statement;
        note.shape = named->shape;
        note.version = named->version;
        named->closed = true;
        named->undecided = server_->add_note(std::move(note));
        named->batch = server_->batch();
        server_->expect_locally(Reply::close_locally, named->undecided);
        return true;
    }
    if (named != nullptr) {
        named_.remove(name);
    } else if (of_statement && name.empty()) {
        unnamed_ = {};
        server_->unnamed() = {};
    } else if (of_statement && name.starts_with(kServerStatementPrefix)) {
        server_->expect_locally(Reply::close_locally, 0);
        return true;
    }
    server_->expect(Reply::close);
    server_->send(message);
    return true;
}

bool Session::on_sync(std::string_view message) {
    if (server_ == nullptr) {
        discarding_ = false;
        std::string out;
        append_ready(out, local_status());
        reply(out);
        return true;
    }
    server_->send(message);
    if (!server_->copying_in()) {
        server_->stop_skipping();
        server_->expect(Reply::sync);
        note_tied(); // the next batch
        barrier();
    }
    return true;
}

bool Session::on_flush(std::string_view message) {
    if (message.size() != kHeaderBytes) {
        protocol_violation("invalid message format"); // the server's error would be the answer to something else
        return false;
    }
    if (reading_) {
        flush_read();
    } else if (server_ != nullptr) {
        server_->send(message);
        server_->deliver_local_replies();
    }
    return true;
}

size_t Session::on_copy_data(MessageHeader header, std::string_view data) {
    // Outside of a copy it is ignored, as PostgreSQL ignores it.
    return start_streaming(header, data, server_ != nullptr && !server_->quiet());
}

bool Session::on_copy_end(std::string_view message) {
    if (server_ != nullptr && !server_->quiet()) {
        server_->send(message);
        server_->copy_in_ended();
    }
    return true;
}

size_t Session::on_function_call(MessageHeader header, std::string_view data) {
    if (!ensure_server()) {
        return 0;
    }
    if (!server_->skipping()) {
        barrier_overdue_ = virtual_ == Virtual::deferred; // as in on_query()
        open_deferred_transaction();
        note_unknown_statement();
        server_->expect(Reply::function_call);
    }
    return start_streaming(header, data, true);
}

// A Query or Parse too large to be buffered.
size_t Session::on_large(MessageHeader header, std::string_view data) {
    if (!ensure_server()) {
        return 0;
    }
    if (server_->skipping()) {
        return start_streaming(header, data, true);
    }
    barrier_overdue_ = header.type == 'Q' && virtual_ == Virtual::deferred; // as in on_query()
    open_deferred_transaction();
    note_unknown_statement();
    unnamed_ = {};
    server_->unnamed() = {};
    if (header.type == 'P') {
        // It cannot be prepared again elsewhere: the session stays where it is.
        server_->unnamed().exists = true;
        effects_ |= kPinSession;
        server_->expect(Reply::parse);
    } else {
        server_->expect(Reply::query);
        bump(worker_.counters().queries);
    }
    return start_streaming(header, data, true);
}

// -- What became of statements, as the server tells.

const std::string *Session::client_name_of(std::string_view server_name) {
    for (const NamedStatement &named : named_.all()) {
        if (named.statement->server_name() == server_name) {
            return &named.name;
        }
    }
    return nullptr;
}

void Session::on_unnamed_failed() { unnamed_ = {}; }

void Session::on_statement_decided(std::string_view name, uint32_t note) {
    NamedStatement *named = named_.find(name);
    if (named == nullptr || named->undecided != note) {
        return;
    }
    named->undecided = 0;
    if (named->closed) {
        named_.remove(name);
    }
}

void Session::on_statement_failed(const Note &note) {
    if (!note.materialise) {
        named_.remove(note.name);
    } else if (NamedStatement *named = named_.find(note.name)) {
        named->materialised = false;
    }
}

void Session::on_statement_kept(const Note &note) {
    if (note.statement) {
        named_.define({note.name, note.statement, note.shape, note.version, false});
    }
}

void Session::on_shape_known(const Note &note, uint64_t shape) {
    NamedStatement *named = note.unnamed ? &unnamed_ : named_.find(note.name);
    if (named != nullptr && named->statement == note.statement) {
        named->shape = shape;
    }
}

} // namespace pgbalancer
