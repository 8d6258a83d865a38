// model_server.h: the protocol a PostgreSQL server speaks (manual: Frontend/Backend Protocol), around a ModelSession.
//
// Reads its messages to the letter, as a server does: order, skipping to Sync after an error, life of portals, COPY.
// What is malformed gets an error, what is no message at all ends the connection.
#pragma once

#include "child/startup.h"
#include "child/wire.h"
#include "support/conversation.h"
#include "support/model_session.h"

#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <utility>

namespace pgbalancer::test {

class ModelServer final : public Conversation {
  public:
    std::string take(std::string_view bytes) override {
        in_ += bytes;
        size_t used = 0;
        while (!over_) {
            const size_t n = started_ ? take_message(std::string_view(in_).substr(used))
                                      : take_startup(std::string_view(in_).substr(used));
            if (n == 0) {
                break;
            }
            used += n;
        }
        in_.erase(0, used);
        return std::exchange(out_, {});
    }
    bool over() const override { return over_; }
    char status() const { return session_.status(); }

  private:
    struct Portal {
        std::string text;
        bool done = false;
    };

    size_t take_startup(std::string_view data) {
        if (data.size() < 4) {
            return 0;
        }
        const auto length = startup_length(data);
        if (!length) {
            over_ = true;
            return 0;
        }
        if (data.size() < *length) {
            return 0;
        }
        const auto first = read_first_packet(data.substr(0, *length));
        const StartupMessage *startup = first ? std::get_if<StartupMessage>(&*first) : nullptr;
        if (startup == nullptr) { // a cancel request: nothing here takes long enough
            over_ = true;
            return *length;
        }
        for (const auto &[name, value] : startup->settings) {
            session_.startup[name] = value;
        }
        started_ = true;
        MessageWriter(out_).begin('R').u32(0).end();
        append_parameter_status(out_, "server_version", "15.3");
        append_parameter_status(out_, "client_encoding", "UTF8");
        append_parameter_status(out_, "standard_conforming_strings", "on");
        report_changes();
        MessageWriter(out_).begin('K').u32(4711).u32(815).end();
        append_ready(out_, 'I');
        return *length;
    }

    size_t take_message(std::string_view data) {
        if (data.size() < kHeaderBytes) {
            return 0;
        }
        const MessageHeader header = read_header(data.data());
        if (check_frontend_header(header) != FrontendCheck::ok) {
            append_error(out_, "FATAL", "08P01", "invalid frontend message");
            over_ = true;
            return 0;
        }
        if (data.size() < header.total()) {
            return 0;
        }
        const std::string_view body = data.substr(kHeaderBytes, header.body());
        if (copying_) {
            while_copying(header.type);
        } else if (header.type == 'X') {
            over_ = true;
        } else if (!skipping_ || header.type == 'S') {
            on_message(header.type, body);
        }
        return header.total();
    }

    void on_message(char type, std::string_view body) {
        FieldReader fields(body);
        switch (type) {
        case 'Q': on_query(fields); break;
        case 'P': on_parse(fields); break;
        case 'B': on_bind(fields); break;
        case 'D': on_describe(fields); break;
        case 'E': on_execute(fields); break;
        case 'C': on_close(fields); break;
        case 'F':
            if (session_.status() == 'E') {
                fail("25P02", "current transaction is aborted");
                skipping_ = false;
            } else {
                MessageWriter(out_).begin('V').u32(UINT32_MAX).end();
            }
            end_query();
            break;
        case 'S':
            skipping_ = false;
            end_query();
            break;
        case 'H':
            if (!fields.rest().empty()) {
                malformed();
            }
            break;
        default: break; // CopyData, CopyDone, CopyFail: left over from a copy that failed
        }
    }

    // -- Errors

    void fail(const std::string &sqlstate, const std::string &message) {
        append_error(out_, "ERROR", sqlstate, message);
        skipping_ = true;
    }
    void failed(const std::string &sqlstate, const std::string &message) {
        session_.failed();
        fail(sqlstate, message);
    }
    void malformed() { failed("08P01", "invalid message format"); }

    // -- Query

    void on_query(FieldReader &fields) {
        const std::string text(fields.string());
        session_.statements.erase("");
        portals_.erase("");
        if (!fields.ok() || !fields.rest().empty()) {
            malformed();
            skipping_ = false;
            end_query();
            return;
        }
        const bool ours = text == catalog_facts_query() || ModelSession::is_probe(text);
        if (!ours && ModelSession::classify(text)->what().kind == StatementKind::multiple) {
            size_t at = 0;
            while (at < text.size() && !skipping_ && !copying_) {
                const size_t end = std::min(text.find(';', at), text.size());
                const std::string one = text.substr(at, end - at);
                if (!ModelSession::words_of(one).empty()) {
                    run(one, true);
                }
                at = end + 1;
            }
        } else {
            run(text, true);
        }
        if (!copying_) {
            skipping_ = false;
            end_query();
        }
    }

    // Runs a statement and says what came of it. `suspended`: after the first row, which is the last one too.
    void run(const std::string &text, bool simple, bool suspended = false) {
        const Outcome outcome = session_.run(text);
        if (!outcome.sqlstate.empty()) {
            fail(outcome.sqlstate, outcome.message);
            return;
        }
        if (text.find("notice") != std::string::npos) {
            append_notice(out_, "NOTICE", "00000", "noticed");
        }
        if (outcome.copy != 0) {
            MessageWriter(out_).begin(outcome.copy).u8(0).u16(1).u16(0).end();
            if (outcome.copy == 'G') {
                copying_ = true;
                copy_of_query_ = simple;
                return;
            }
            MessageWriter(out_).begin('d').bytes("copied\n").end();
            MessageWriter(out_).begin('c').end();
        }
        if (outcome.tag.empty()) {
            MessageWriter(out_).begin('I').end();
            return;
        }
        if (outcome.has_rows && simple) {
            append_description(outcome.rows.empty() ? 1 : outcome.rows[0].size());
        }
        for (const auto &row : outcome.rows) {
            MessageWriter w(out_);
            w.begin('D').u16(static_cast<uint16_t>(row.size()));
            for (const std::string &column : row) {
                w.u32(static_cast<uint32_t>(column.size())).bytes(column);
            }
            w.end();
        }
        if (suspended && outcome.has_rows) {
            MessageWriter(out_).begin('s').end();
        } else {
            append_command_complete(out_, outcome.tag);
        }
    }

    void append_description(size_t columns) {
        MessageWriter w(out_);
        w.begin('T').u16(static_cast<uint16_t>(columns));
        for (size_t i = 0; i < columns; i++) {
            w.string("c").u32(0).u16(0).u32(25).u16(UINT16_MAX).u32(UINT32_MAX).u16(0);
        }
        w.end();
    }

    // ReadyForQuery, and what comes with it.
    void end_query() {
        session_.settle();
        if (!session_.in_transaction_block()) {
            portals_.clear();
        }
        report_changes();
        append_ready(out_, session_.status());
    }
    void report_changes() {
        const std::string &name = session_.setting("application_name");
        if (!reported_ || *reported_ != name) {
            reported_ = name;
            append_parameter_status(out_, "application_name", name);
        }
    }

    // -- COPY … FROM STDIN

    void while_copying(char type) {
        if (type == 'd' || type == 'H' || type == 'S') {
            return;
        }
        copying_ = false;
        if (type == 'c') {
            append_command_complete(out_, "COPY 1");
        } else if (type == 'f') {
            failed("57014", "COPY from stdin failed");
        } else { // its length has not been read: nobody knows where the next message begins
            failed("08P01", "unexpected message type during COPY from stdin");
            append_error(out_, "FATAL", "08P01", "terminating connection because protocol synchronization was lost");
            over_ = true;
            return;
        }
        if (copy_of_query_) {
            skipping_ = false;
            end_query();
        }
    }

    // -- The extended protocol

    void on_parse(FieldReader &fields) {
        const std::string name(fields.string());
        const std::string text(fields.string());
        for (uint16_t types = fields.u16(); types > 0 && fields.ok(); types--) {
            fields.u32();
        }
        if (!fields.ok() || !fields.rest().empty()) {
            malformed();
            return;
        }
        // PostgreSQL looks at the name last; of two errors either will do.
        if (!name.empty() && session_.statements.contains(name)) {
            failed("42P05", "prepared statement \"" + name + "\" already exists");
            return;
        }
        const StatementKind kind = ModelSession::classify(text)->what().kind;
        if (kind == StatementKind::unknown || kind == StatementKind::multiple) {
            failed("42601", kind == StatementKind::unknown ? "syntax error" : "cannot insert multiple commands");
            return;
        }
        if (session_.status() == 'E' && kind != StatementKind::empty && !ModelSession::leaves_transaction(text)) {
            aborted();
            return;
        }
        session_.statements[name] = {text, false};
        MessageWriter(out_).begin('1').end();
    }
    void aborted() {
        failed("25P02", "current transaction is aborted, commands ignored until end of transaction block");
    }

    void on_bind(FieldReader &fields) {
        const std::string portal(fields.string());
        const std::string name(fields.string());
        for (uint16_t formats = fields.u16(); formats > 0 && fields.ok(); formats--) {
            fields.u16();
        }
        for (uint16_t values = fields.u16(); values > 0 && fields.ok(); values--) {
            const uint32_t size = fields.u32();
            fields.bytes(size == UINT32_MAX ? 0 : size);
        }
        for (uint16_t formats = fields.u16(); formats > 0 && fields.ok(); formats--) {
            fields.u16();
        }
        const auto statement = session_.statements.find(name);
        if (fields.ok() && statement == session_.statements.end()) {
            failed("26000", name.empty() ? "unnamed prepared statement does not exist"
                                         : "prepared statement \"" + name + "\" does not exist");
        } else if (!fields.ok() || !fields.rest().empty()) {
            malformed();
        } else if (session_.status() == 'E' && !ModelSession::leaves_transaction(statement->second.text)) {
            aborted();
        } else if (!portal.empty() && portals_.contains(portal)) {
            failed("42P03", "cursor \"" + portal + "\" already exists");
        } else {
            portals_[portal] = {statement->second.text};
            MessageWriter(out_).begin('2').end();
        }
    }

    void on_describe(FieldReader &fields) {
        const uint8_t what = fields.u8();
        const std::string name(fields.string());
        if (!fields.ok() || !fields.rest().empty() || (what != 'S' && what != 'P')) {
            malformed();
            return;
        }
        std::string text;
        if (what == 'S') {
            const auto at = session_.statements.find(name);
            if (at == session_.statements.end()) {
                failed("26000", name.empty() ? "unnamed prepared statement does not exist"
                                             : "prepared statement \"" + name + "\" does not exist");
                return;
            }
            text = at->second.text;
        } else {
            const auto at = portals_.find(name);
            if (at == portals_.end()) {
                failed("34000", "portal \"" + name + "\" does not exist");
                return;
            }
            text = at->second.text;
        }
        const bool rows = ModelSession::returns_rows(text);
        if (rows && session_.status() == 'E') {
            aborted();
            return;
        }
        if (what == 'S') {
            MessageWriter(out_).begin('t').u16(0).end();
        }
        if (rows) {
            append_description(1);
        } else {
            MessageWriter(out_).begin('n').end();
        }
    }

    void on_execute(FieldReader &fields) {
        const std::string name(fields.string());
        const uint32_t limit = fields.u32();
        if (!fields.ok() || !fields.rest().empty()) {
            malformed();
            return;
        }
        const auto at = portals_.find(name);
        if (at == portals_.end()) {
            failed("34000", "portal \"" + name + "\" does not exist");
            return;
        }
        Portal &portal = at->second;
        const bool rows = ModelSession::returns_rows(portal.text);
        if (session_.status() == 'E' && !ModelSession::leaves_transaction(portal.text)) {
            aborted();
        } else if (portal.done && !rows) {
            failed("55000", "portal \"" + name + "\" cannot be run");
        } else if (portal.done) {
            append_command_complete(out_, "SELECT 0");
        } else {
            portal.done = true;
            const std::string text = portal.text; // COMMIT ends the portal too
            run(text, false, limit == 1);
            if (!session_.in_transaction_block() && ModelSession::leaves_transaction(text)) {
                portals_.clear();
            }
        }
    }

    void on_close(FieldReader &fields) {
        const uint8_t what = fields.u8();
        const std::string name(fields.string());
        if (!fields.ok() || !fields.rest().empty() || (what != 'S' && what != 'P')) {
            malformed();
            return;
        }
        if (what == 'S') {
            session_.statements.erase(name);
        } else {
            portals_.erase(name);
        }
        MessageWriter(out_).begin('3').end();
    }

    ModelSession session_;
    std::string in_;
    std::string out_;
    std::map<std::string, Portal> portals_;
    std::optional<std::string> reported_; // application_name
    bool started_ = false;
    bool over_ = false;
    bool skipping_ = false; // until Sync
    bool copying_ = false;
    bool copy_of_query_ = false;
};

} // namespace pgbalancer::test
