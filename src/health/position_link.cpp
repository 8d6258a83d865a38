#include "health/position_link.h"

#include "common/clock.h"
#include "common/log.h"
#include "health/position_question.h"
#include "health/server_error.h"

#include <utility>

namespace pgbalancer {

namespace {

using namespace std::chrono_literals;

constexpr auto kReopenSpacing = 1s;
constexpr auto kRefusedSpacing = 10s;

} // namespace

void PositionLink::configure(std::optional<NodeTarget> target, std::chrono::milliseconds timeout) {
    timeout_ = timeout;
    if (target != target_) {
        close();
        target_ = std::move(target);
        opened_ = not_before_ = 0ns;
    }
}

void PositionLink::ask() {
    const auto now = monotonic_now();
    const auto stage = connection_.stage();
    if (stage == NodeConnection::Stage::connecting || stage == NodeConnection::Stage::asking) {
        if (now - began_ > timeout_) {
            close();
        }
        return;
    }
    if (!target_ || now < not_before_) {
        return;
    }
    if (stage == NodeConnection::Stage::idle) {
        question();
    } else if (opened_ == 0ns || now - opened_ >= kReopenSpacing) {
        began_ = opened_ = now;
        connection_.open(*target_);
    }
}

void PositionLink::on_connection_open() {
    prepared_ = false;
    connection_.ask(kPreparePositionQuestion);
}

void PositionLink::question() {
    began_ = monotonic_now();
    asked_us_ = std::chrono::duration_cast<std::chrono::microseconds>(began_).count();
    connection_.ask(kPositionQuestion);
}

void PositionLink::on_connection_answer(const PGresult &answer) {
    if (!prepared_ && PQresultStatus(&answer) == PGRES_COMMAND_OK &&
        connection_.stage() == NodeConnection::Stage::idle) {
        prepared_ = true;
        question();
        return;
    }
    auto sample = PQresultStatus(&answer) == PGRES_TUPLES_OK ? read_position_answer(answer) : std::nullopt;
    if (sample) {
        complaint_.clear();
        sample->asked_us = asked_us_;
        owner_.on_position(node_, *sample);
        return;
    }
    const char *sqlstate = PQresultErrorField(&answer, PG_DIAG_SQLSTATE);
    if (sqlstate == nullptr || classify_refusal(sqlstate) == ProbeOutcome::alive) {
        const std::string why = tidy_message(PQresultErrorMessage(&answer));
        complain(why.empty() ? "the answer makes no sense" : why);
    }
    connection_.close();
    owner_.on_position_lost(node_);
}

void PositionLink::on_connection_failed(const NodeConnection::Failure &failure) {
    // That a server does not answer is for the health check to say.
    if (failure.needs_password || classify_refusal(find_sqlstate(failure.message)) == ProbeOutcome::alive) {
        complain(tidy_message(failure.message));
    }
    owner_.on_position_lost(node_);
}

void PositionLink::complain(std::string why) {
    if (why == complaint_) {
        not_before_ = monotonic_now() + kRefusedSpacing;
    } else {
        log_at(LogLevel::warning, "node %d: its replication position is not known: %s", id_, why.c_str());
        complaint_ = std::move(why);
    }
}

void PositionLink::close() {
    if (connection_.stage() != NodeConnection::Stage::closed) {
        connection_.close();
        owner_.on_position_lost(node_);
    }
}

} // namespace pgbalancer
