#include "child/read_guard.h"

namespace pgbalancer {

namespace {

// What a guard keeps allocated from one read to the next.
constexpr size_t kKeptBytes = 4096;

void empty(std::string &text) {
    if (text.capacity() > kKeptBytes) {
        text = std::string();
    } else {
        text.clear();
    }
}

} // namespace

Refusal refusal_of(std::string_view sqlstate) {
    // Read-only; not supported during recovery or with unlogged relations; not in the state for it: in recovery.
    if (sqlstate == "25006" || sqlstate == "0A000" || sqlstate == "55000") {
        return Refusal::lasting;
    }
    // A conflict with what is being replayed.
    if (sqlstate == "40001" || sqlstate == "40P01") {
        return Refusal::passing;
    }
    // The server goes down or is about to come up; user requests and time-outs are 57014.
    if (sqlstate.starts_with("57P")) {
        return Refusal::passing;
    }
    const std::string_view sqlclass = sqlstate.substr(0, 2);
    // Names: the catalog there may be behind the primary's. Connections, resources, the system, internal errors: the
    // server's own troubles.
    for (const std::string_view its_own : {"42", "3D", "3F", "08", "53", "58", "XX"}) {
        if (sqlclass == its_own) {
            return Refusal::passing;
        }
    }
    return Refusal::none;
}

bool may_be_held(char type) {
    switch (type) {
    case '1': // ParseComplete
    case '2': // BindComplete
    case '3': // CloseComplete
    case 't': // ParameterDescription
    case 'T': // RowDescription
    case 'n': // NoData
    case 'N': // NoticeResponse
    case 'S': // ParameterStatus: passes by
    case 'E': // ErrorResponse: ends it
        return true;
    default: return false;
    }
}

void ReadGuard::begin(std::string_view batch) {
    batch_ = batch;
    state_ = State::holding;
    why_ = Refusal::none;
}

void ReadGuard::end() {
    state_ = State::none;
    empty(batch_);
    empty(held_);
    if (!before_.empty()) {
        before_ = {};
    }
}

bool ReadGuard::hold(std::string_view message) {
    if (message.size() > kMaxHeldBytes - held_.size()) {
        return false;
    }
    held_ += message;
    return true;
}

} // namespace pgbalancer
