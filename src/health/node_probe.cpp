#include "health/node_probe.h"

#include "health/server_error.h"

#include <string_view>
#include <utility>

namespace pgbalancer {

namespace {

constexpr const char *kQuestion = "SELECT pg_catalog.pg_is_in_recovery()";

NodeProbeResult failure_of(std::string error) {
    NodeProbeResult result;
    result.outcome = ProbeOutcome::failed;
    result.error = std::move(error);
    return result;
}

// A login that did not succeed.
NodeProbeResult refused(const NodeConnection::Failure &failure) {
    NodeProbeResult result;
    result.outcome = classify_refusal(find_sqlstate(failure.message));
    result.error = tidy_message(failure.message);
    // The server asked for a password that we do not have: it is libpq that refuses.
    if (result.outcome == ProbeOutcome::failed && failure.needs_password) {
        result.outcome = ProbeOutcome::alive;
    }
    return result;
}

NodeProbeResult answered(const PGresult &answer, int server_version) {
    NodeProbeResult result;
    result.server_version = server_version;
    if (PQresultStatus(&answer) == PGRES_TUPLES_OK && PQntuples(&answer) == 1 && PQnfields(&answer) == 1) {
        const std::string_view value = PQgetvalue(&answer, 0, 0);
        if (value == "t" || value == "f") {
            result.outcome = ProbeOutcome::answered;
            result.in_recovery = value == "t";
            return result;
        }
    }
    const char *sqlstate = PQresultErrorField(&answer, PG_DIAG_SQLSTATE);
    result.outcome = sqlstate == nullptr ? ProbeOutcome::alive : classify_refusal(sqlstate);
    result.error = tidy_message(PQresultErrorMessage(&answer));
    if (result.error.empty()) {
        result.error = "unexpected answer to the health check's query";
    }
    return result;
}

} // namespace

void NodeProbe::start(const NodeTarget &target, std::chrono::milliseconds timeout) {
    if (!(target == target_)) {
        connection_.close();
        target_ = target;
    }
    running_ = true;
    timeout_.arm<&NodeProbe::on_timeout>(loop_, timeout, this);
    first_turn_.arm<&NodeProbe::on_first_turn>(loop_, std::chrono::microseconds(0), this);
}

void NodeProbe::on_first_turn() {
    if (connection_.stage() == NodeConnection::Stage::idle) {
        kept_ = true;
        ask();
    } else {
        connect();
    }
}

void NodeProbe::connect() {
    kept_ = false;
    connection_.open(target_);
}

void NodeProbe::ask() { connection_.ask(kQuestion); }

void NodeProbe::on_connection_open() { ask(); }

void NodeProbe::on_connection_answer(const PGresult &answer) {
    const NodeProbeResult result = answered(answer, connection_.server_version());
    if (result.outcome == ProbeOutcome::starting) {
        give_up_connection(result);
    } else {
        finish(result);
    }
}

void NodeProbe::on_connection_failed(const NodeConnection::Failure &failure) {
    switch (failure.during) {
    case NodeConnection::Stage::connecting: finish(refused(failure)); break;
    case NodeConnection::Stage::asking: give_up_connection(failure_of(tidy_message(failure.message))); break;
    default:
        // A probe that has just begun finds no connection then, and makes one.
        if (!running_) {
            owner_.on_probe_connection_lost();
        }
        break;
    }
}

void NodeProbe::on_timeout() {
    const bool asked = connection_.stage() == NodeConnection::Stage::asking;
    connection_.close();
    finish(failure_of(asked ? "no answer to the health check's query in time" : "no answer to the login in time"));
}

void NodeProbe::give_up_connection(const NodeProbeResult &result) {
    connection_.close();
    if (kept_) {
        connect();
    } else {
        finish(result);
    }
}

void NodeProbe::finish(const NodeProbeResult &result) {
    timeout_.disarm();
    first_turn_.disarm();
    running_ = false;
    owner_.on_probe_result(result);
}

} // namespace pgbalancer
