// server_reads.cpp: ServerConnection to a standby: replies to a read held back as long as it can still be run again on
// the primary (read_guard.h), and what a client is not told about where it was.
#include "child/pool.h"
#include "child/server_connection.h"
#include "child/session.h"
#include "child/worker_process.h"
#include "common/log.h"

namespace pgbalancer {

ReadGuard &ServerConnection::begin_read(std::string_view batch) {
    if (guard_ == nullptr) {
        guard_ = std::make_unique<ReadGuard>();
    }
    guard_->begin(batch);
    return *guard_;
}

// While replies are held back: what cannot wait with them releases them, and a notice joins them (true). `incomplete`:
// the rest of the notice must come first.
bool ServerConnection::hold_notice(MessageHeader header, std::string_view data, size_t &pos, bool &incomplete) {
    if (!may_be_held(header.type) || header.total() > ReadGuard::kMaxHeldBytes) {
        release_held();
        return false;
    }
    if (header.type != 'N') {
        return false;
    }
    if (data.size() - pos < header.total()) {
        incomplete = true;
        return false;
    }
    pass(header.type, data.substr(pos, header.total()));
    pos += header.total();
    return true;
}

// To the client, now or with what is held back. There is a session.
void ServerConnection::pass(char type, std::string_view message) {
    if (guard_ != nullptr && guard_->holding() && type != 'S') {
        if (guard_->hold(message)) {
            return;
        }
        release_held();
    }
    worker_.to_clients().add(*session_, message);
}

void ServerConnection::release_held() {
    if (session_ != nullptr) {
        worker_.to_clients().add_copy(*session_, guard_->held());
    }
    guard_->let_go();
}

// The standby's error is not passed on if the primary can do better. Otherwise what was held back goes before it.
// `ours`: pgbalancer's own words, which are about what this client knows.
bool ServerConnection::refuse_read(const ServerReport &report, bool ours) {
    if (guard_ == nullptr || !guard_->holding()) {
        return muted();
    }
    const Refusal refusal = report.fatal() ? Refusal::passing : refusal_of(report.sqlstate);
    if (refusal == Refusal::none) {
        release_held();
        return false;
    }
    log_at(LogLevel::debug, "node %d: a read is run again on the primary: %.*s", node_,
           static_cast<int>(report.message.size()), report.message.data());
    guard_->refuse(ours ? Refusal::passing : refusal);
    return true;
}

// That a server connection leads to a standby is pgbalancer's affair: a client must not take it for its session's.
std::string_view ServerConnection::told_value(std::string_view name, std::string_view value) const {
    return name == "in_hot_standby" && node_ != worker_.pools().primary() ? std::string_view("off") : value;
}

} // namespace pgbalancer
