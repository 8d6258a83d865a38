#include "health/node_checker.h"

#include "common/clock.h"
#include "common/log.h"

#include <algorithm>

namespace pgbalancer {

NodeChecker::NodeChecker(EventLoop &loop, SharedState &shared, const Config &config, int index, Owner &owner)
    : loop_(loop), shared_(shared), owner_(owner), index_(index), probe_(loop, *this) {
    // A predecessor's statistics are carried on; its last outcome counts as reported, so that only news is told.
    if (shared_.read_observation(index_, observation_)) {
        reported_ = observation_;
    }
    configure(config);
    begin_probe();
}

void NodeChecker::configure(const Config &config) {
    const BackendConfig &backend = config.backends[static_cast<size_t>(index_)];
    settings_ = {.period = config.health_check_period,
                 .max_retries = config.health_check_max_retries,
                 .retry_delay = config.health_check_retry_delay};
    timeout_ = config.health_check_timeout;
    target_ = {.host = backend.hostname,
               .port = backend.port,
               .user = config.health_check_user,
               .password = config.health_check_password,
               .database = config.health_check_database};
}

void NodeChecker::suspect() {
    if (probe_.running()) {
        suspected_again_ = true;
    } else if (retries_ == 0) {
        next_.arm<&NodeChecker::begin_probe>(loop_, delay_of_suspicion(monotonic_now() - check_ended_), this);
    }
}

void NodeChecker::on_probe_connection_lost() { suspect(); }

void NodeChecker::begin_probe() {
    next_.disarm();
    suspected_again_ = false;
    probe_began_ = monotonic_now();
    probe_.start(target_, timeout_);
}

void NodeChecker::on_probe_result(const NodeProbeResult &result) {
    const auto now = monotonic_now();
    const CheckPlan plan = plan_after_probe(result.outcome, retries_, settings_);
    if (!plan.concluded) {
        retries_++;
        observation_.retries++;
        observation_.max_retries = std::max(observation_.max_retries, static_cast<uint32_t>(retries_));
        log_at(LogLevel::info, "node %d: %s; retry %d of %d follows", index_, result.error.c_str(), retries_,
               settings_.max_retries);
        next_.arm<&NodeChecker::begin_probe>(loop_, plan.next_in, this);
        return;
    }
    retries_ = 0;
    check_ended_ = now;
    count(result, std::chrono::duration_cast<std::chrono::microseconds>(now - probe_began_));
    next_.arm<&NodeChecker::begin_probe>(loop_, plan.next_in, this);
    if (suspected_again_) {
        suspect();
    }
    conclude(result);
}

void NodeChecker::count(const NodeProbeResult &result, std::chrono::microseconds duration) {
    const bool success = result.outcome == ProbeOutcome::answered || result.outcome == ProbeOutcome::alive;
    observation_.checks++;
    observation_.last_check_us = wall_now_us();
    observation_.last_duration_us = duration.count();
    if (!success) {
        observation_.last_failure_us = observation_.last_check_us;
        observation_.failures++;
        observation_.consecutive_failures++;
        return;
    }
    observation_.min_duration_us = observation_.successes == 0
                                       ? duration.count()
                                       : std::min(observation_.min_duration_us, int64_t{duration.count()});
    observation_.max_duration_us = std::max(observation_.max_duration_us, int64_t{duration.count()});
    observation_.total_duration_us += duration.count();
    observation_.last_success_us = observation_.last_check_us;
    observation_.successes++;
    observation_.consecutive_failures = 0;
}

void NodeChecker::conclude(const NodeProbeResult &result) {
    observation_.outcome = result.outcome;
    if (result.outcome == ProbeOutcome::answered) {
        observation_.in_recovery = result.in_recovery;
        observation_.server_version = result.server_version;
    } else {
        observation_.last_error.set(result.error);
    }
    shared_.publish_observation(index_, observation_);
    const bool news = !checked_ || observation_.outcome != reported_.outcome ||
                      observation_.in_recovery != reported_.in_recovery ||
                      observation_.last_error != reported_.last_error;
    if (news && owner_.report(index_)) {
        reported_ = observation_;
    }
    checked_ = true;
    owner_.on_check_concluded();
}

} // namespace pgbalancer
