// session_resets.cpp: Session where settings go back to what the client started with.
//
// A server connection logs in without settings, so RESET gives the server's default there. After a RESET of its own the
// session sets the client's value again before the client hears that it is done. Where more follows within the same
// text, function or batch, it would see the default: that needs a connection whose startup packet carried the session's
// settings (ServerConnection::born_with), and from then on the session takes no other.
#include "child/pool.h"
#include "child/reset_names.h"
#include "child/server_connection.h"
#include "child/session.h"
#include "child/worker_process.h"

#include <algorithm>

namespace pgbalancer {

namespace {

// Further ahead nobody looks whether a RESET is alone in its batch.
constexpr size_t kMaxLookAhead = 8192;

} // namespace

const ParameterSetRef &Session::needed_birth() const { return needs_birth_ ? startup_ : worker_.no_settings(); }

void Session::need_birth() {
    if (!needs_birth_ && !startup_->empty()) {
        needs_birth_ = true;
        pool_->not_plain();
    }
}

bool Session::resets_by_itself() const { return server_->born_with() == startup_; }

// What the server has set to its own defaults where PostgreSQL would have restored what the client started with.
void Session::restore_startup(const std::vector<std::string> &names, char status) {
    if (resets_by_itself()) {
        return;
    }
    std::string sql;
    for (const auto &entry : startup_->entries()) {
        if (std::any_of(names.begin(), names.end(),
                        [&](const std::string &name) { return name == "all" || name == entry.name; })) {
            sql += (sql.empty() ? "" : ";\n") + entry.value;
        }
    }
    if (sql.empty()) {
        return;
    }
    held_ready_ = status;
    restoring_ = true;
    server_->send_internal_query(sql, Purpose::settings);
    worker_.to_servers().flush();
    pause_ |= kPausedForExchange;
}

// Whether a statement resets what the client started with, as far as its text and the catalog say.
bool Session::resets_startup(const Classification &what, std::string_view text) const {
    const auto at_start = [this](const std::string &name) { return name == "all" || startup_->find(name) != nullptr; };
    const CatalogFacts &facts = pool_->known().facts;
    const bool unread = what.kind == StatementKind::do_block || what.kind == StatementKind::multiple ||
                        what.kind == StatementKind::unknown;
    if (((facts.effects_of(what) & kResetsInside) != 0 || (unread && facts.names_resetting_function(text))) &&
        std::any_of(facts.reset_settings().begin(), facts.reset_settings().end(), at_start)) {
        return true;
    }
    if ((what.effects & (kResets | kResetsInside)) == 0) {
        return false;
    }
    const std::vector<std::string> names = settings_reset_in(what, text);
    return std::any_of(names.begin(), names.end(), at_start);
}

// Before a statement runs, and before a connection is leased for it.
Session::Birth Session::birth_for(const StatementRef &statement, uint32_t effects, std::string_view text) {
    if ((effects & kResetsInside) == 0 || startup_->empty() || (server_ != nullptr && resets_by_itself()) ||
        !resets_startup(statement->what(), text)) {
        return Birth::right;
    }
    need_birth();
    if (server_ == nullptr) {
        return Birth::right;
    }
    if (!server_->quiet() && server_->ends_by_itself()) {
        pause_ |= kPausedForReady; // perhaps the lease ends with it
        return Birth::wait;
    }
    return server_->transaction_status() == 'E' ? Birth::right : Birth::wrong;
}

// The same in the extended protocol, where a RESET cannot be told from its text to be the last: `data` is what the
// client has sent, and the statement's Parse or Bind ends at `end`.
Session::Birth Session::birth_in_batch(const StatementRef &statement, uint32_t effects, std::string_view text,
                                       std::string_view data, size_t end) {
    if ((effects & kResets) != 0 && !startup_->empty() && !(server_ != nullptr && resets_by_itself())) {
        switch (rest_of_batch(data, end)) {
        case Rest::unknown: return Birth::wait;
        case Rest::others: effects |= kResetsInside; break;
        case Rest::its_own: break;
        }
    }
    return birth_for(statement, effects, text);
}

// Whether all from `pos` up to Sync is about one statement.
Session::Rest Session::rest_of_batch(std::string_view data, size_t pos) {
    bool bound = false;
    for (;;) {
        if (pos > kMaxLookAhead) {
            return Rest::others;
        }
        if (data.size() < pos + kHeaderBytes) {
            return Rest::unknown;
        }
        const MessageHeader header = read_header(data.data() + pos);
        if (check_frontend_header(header) != FrontendCheck::ok || header.total() > kMaxLookAhead) {
            return Rest::others;
        }
        switch (header.type) {
        case 'S': return Rest::its_own;
        case 'B':
            if (bound) {
                return Rest::others;
            }
            bound = true;
            break;
        case 'D':
        case 'E':
        case 'C': break;
        default: return Rest::others; // also Flush: who sends it may wait for the answer before he goes on
        }
        pos += header.total();
    }
}

// The server is made to fail in the statement's place.
void Session::refuse_reset() {
    if (pins_ != kNotPinned) {
        force_error("0A000",
                    "cannot reset settings within a statement while the session is tied to its server connection (" +
                        std::string(pin_reason_text(pins_)) + ")",
                    "The server connection was not started with the session's settings, so what follows the reset "
                    "would see other values.",
                    "RESET works as a statement of its own.");
        return;
    }
    force_error("40001", "the transaction must be retried on another server connection",
                "It resets settings, and the server connection it began on was not started with those of the session.",
                "Retry the transaction: the session uses server connections started with its settings from now on.");
}

} // namespace pgbalancer
