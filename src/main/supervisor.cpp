#include "main/supervisor.h"

#include "child/worker.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/random.h"
#include "health/health.h"
#include "main/reload.h"
#include "main/service_manager.h"
#include "main/shutdown_policy.h"

#include <cerrno>
#include <csignal>
#include <cstring>
#include <ctime>
#include <sys/wait.h>

namespace pgbalancer {

using namespace std::chrono_literals;

namespace {

// A child whose control channel is closed gets this long to end by itself.
constexpr auto kLostChildGrace = 5000ms;
constexpr auto kForkRetry = 1000ms;

std::string describe_end(int status) {
    if (WIFSIGNALED(status)) {
        const int signal = WTERMSIG(status);
        return "was killed by signal " + std::to_string(signal) + " (" + strsignal(signal) + ")";
    }
    return "ended with exit code " + std::to_string(WEXITSTATUS(status));
}

std::string utc_time(int64_t wall_us) {
    const time_t seconds = wall_us / 1000000;
    tm parts{};
    gmtime_r(&seconds, &parts);
    char text[32];
    strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
    return text;
}

} // namespace

Supervisor::Supervisor(Config config, Parts parts)
    : config_(std::move(config)), parts_(std::move(parts)), shared_(parts_.shared), nodes_(shared_, config_),
      children_(config_.num_init_children, *this) {
    random_bytes(login_key_);
}

int Supervisor::run() {
    arm_signals();
    for (const auto &child : children_.all()) {
        spawn(*child);
    }
    update_status();
    while (!finished_ && loop_.turn()) {
    }
    return exit_code_;
}

// ---- Signals ----

void Supervisor::arm_signals() {
    stop_smart_.arm<&Supervisor::on_stop_signal>(loop_, SIGTERM, this);
    stop_fast_.arm<&Supervisor::on_stop_signal>(loop_, SIGINT, this);
    stop_immediate_.arm<&Supervisor::on_stop_signal>(loop_, SIGQUIT, this);
    reload_.arm<&Supervisor::on_reload_signal>(loop_, SIGHUP, this);
    reopen_.arm<&Supervisor::on_reopen_signal>(loop_, SIGUSR1, this);
    child_.arm<&Supervisor::on_child_signal>(loop_, SIGCHLD, this);
    // Blocked since before there was anything to clean up.
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, nullptr);
}

void Supervisor::on_stop_signal(int signal) {
    switch (signal) {
    case SIGTERM: begin_shutdown(ShutDownMode::smart); break;
    case SIGINT: begin_shutdown(ShutDownMode::fast); break;
    default: begin_shutdown(ShutDownMode::immediate); break;
    }
}

void Supervisor::on_reopen_signal(int) {
    if (!log_reopen()) {
        log_at(LogLevel::error, "cannot reopen the log file: %s", strerror(errno));
    }
    for (const auto &child : children_.all()) {
        if (child->running() && !child->link()->send(ControlType::reopen_logs)) {
            log_at(LogLevel::warning, "%s could not be told to reopen its log", child->name().c_str());
        }
    }
}

void Supervisor::on_reload_signal(int) {
    if (stopping_) {
        return;
    }
    notify_reloading();
    if (auto reloaded = reload_configuration(config_)) {
        config_ = std::move(reloaded->config);
        nodes_.configure(config_);
        reloads_awaited_ = 0;
        for (const auto &child : children_.all()) {
            if (child->running() && child->link()->send(ControlType::reload, {}, reloaded->text.get())) {
                reloads_awaited_++;
            }
        }
        give_another_chance();
        Event event;
        event.type = EventType::reloaded;
        event.time_us = wall_now_us();
        event.text.set(config_.source_path);
        shared_.append_event(event);
    }
    notify_ready("serving on " + parts_.listeners.description());
}

void Supervisor::on_child_signal(int) {
    for (;;) {
        int status = 0;
        const pid_t pid = waitpid(-1, &status, WNOHANG);
        if (pid <= 0) {
            return;
        }
        reap(pid, status);
    }
}

// ---- Children ----

void Supervisor::spawn(ChildRecord &child) {
    auto ends = ControlChannel::make_pair();
    if (!ends) {
        log_at(LogLevel::error, "%s: %s", child.name().c_str(), ends.error().message.c_str());
        child.arm_timer(loop_, kForkRetry);
        return;
    }
    ChildSpec spec;
    spec.left_files = parts_.left_files;
    spec.keep.push_back(ends->child_end.get());
    if (child.kind == ChildKind::worker) {
        const uint32_t generation = shared_.begin_worker(child.index);
        const std::vector<int> listeners = parts_.listeners.descriptors();
        spec.role = "worker";
        spec.number = child.index;
        spec.keep.insert(spec.keep.end(), listeners.begin(), listeners.end());
        spec.body = [&, generation, listeners] {
            return run_worker({.config = config_,
                               .shared = &shared_,
                               .index = child.index,
                               .generation = generation,
                               .listeners = listeners,
                               .control = std::move(ends->child_end)});
        };
    } else {
        spec.role = "health";
        spec.body = [&] {
            return run_health({.config = config_, .shared = &shared_, .control = std::move(ends->child_end)});
        };
    }
    const auto pid = fork_child(parts_.title, spec);
    if (!pid) {
        log_at(LogLevel::error, "%s: %s", child.name().c_str(), pid.error().message.c_str());
        child.arm_timer(loop_, kForkRetry);
        return;
    }
    child.start(loop_, *pid, std::move(ends->supervisor_end));
    if (child.kind == ChildKind::worker) {
        shared_.worker(child.index).pid.store(*pid, std::memory_order_relaxed);
    }
    log_at(LogLevel::info, "%s started with PID %d", child.name().c_str(), *pid);
}

void Supervisor::reap(pid_t pid, int wait_status) {
    ChildRecord *child = children_.find(pid);
    if (child == nullptr) {
        return; // not ours: as process 1 of a container we inherit orphans
    }
    child->end();
    if (child->kind == ChildKind::worker) {
        shared_.clear_worker(child->index);
    }
    const std::string how = child->name() + " (PID " + std::to_string(pid) + ") " + describe_end(wait_status);
    if (stopping_) {
        log_at(LogLevel::info, "%s", how.c_str());
        continue_shutdown();
        return;
    }
    log_at(LogLevel::error, "%s", how.c_str());
    Event event;
    event.type = EventType::worker_died;
    event.time_us = wall_now_us();
    event.text.set(how);
    shared_.append_event(event);

    const auto lifetime = monotonic_now() - child->forked_at;
    child->quick_deaths = is_quick_death(lifetime) ? child->quick_deaths + 1 : 0;
    const bool needed = child->kind == ChildKind::health || !children_.other_worker_left(*child);
    const SpawnDecision decision = decide_spawn({.wait_status = wait_status,
                                                 .lifetime = lifetime,
                                                 .quick_deaths = child->quick_deaths,
                                                 .service_ready = service_ready_,
                                                 .needed_to_serve = needed});
    if (decision.action == SpawnAction::stop_service) {
        stop_service(decision.exit_code, how);
    } else {
        replace(*child, decision);
    }
    update_status();
}

void Supervisor::replace(ChildRecord &child, const SpawnDecision &decision) {
    if (decision.action == SpawnAction::abandon) {
        child.abandoned = true;
        log_at(LogLevel::error, "%s asked not to be restarted; the service goes on without it", child.name().c_str());
        return;
    }
    if (decision.delay > 0ms) {
        log_at(LogLevel::warning, "%s died %d times in a row soon after its start; the next one starts in %lld ms",
               child.name().c_str(), child.quick_deaths, static_cast<long long>(decision.delay.count()));
        child.arm_timer(loop_, decision.delay);
        return;
    }
    spawn(child);
}

// What a child gave up over may have been corrected.
void Supervisor::give_another_chance() {
    for (const auto &child : children_.all()) {
        if (child->abandoned) {
            child->abandoned = false;
            spawn(*child);
        }
    }
}

void Supervisor::kill_child(const ChildRecord &child) {
    if (child.running() && kill(child.pid(), SIGKILL) != 0) {
        log_at(LogLevel::error, "cannot kill %s: %s", child.name().c_str(), strerror(errno));
    }
}

void Supervisor::on_child_message(ChildRecord &child, ControlMessage message) {
    if (!handle(child, message)) {
        log_at(LogLevel::error, "%s sent message %d with a body of %zu bytes, which makes no sense: it is killed",
               child.name().c_str(), static_cast<int>(message.type), message.body.size());
        kill_child(child);
    }
}

void Supervisor::on_child_lost(ChildRecord &child, const Error &why) {
    if (child.running()) {
        log_at(LogLevel::debug, "%s: %s", child.name().c_str(), why.message.c_str());
        child.arm_timer(loop_, kLostChildGrace);
    }
}

void Supervisor::on_child_timer(ChildRecord &child) {
    if (child.running()) {
        log_at(LogLevel::error, "%s has closed its control channel but does not end: it is killed",
               child.name().c_str());
        kill_child(child);
    } else if (!stopping_) {
        spawn(child);
        update_status();
    }
}

// ---- Messages ----

// False: the message is none that this child may send.
bool Supervisor::handle(ChildRecord &child, const ControlMessage &message) {
    switch (message.type) {
    case ControlType::ready: on_ready(child); return message.body.empty();
    case ControlType::reload_done: on_reload_done(); return message.body.empty();
    case ControlType::drained:
        log_at(LogLevel::info, "%s: its last session has gone", child.name().c_str());
        return message.body.empty();
    case ControlType::facts_changed: return message.body.empty();
    case ControlType::node_suspect: return pass_on_suspicion(message);
    case ControlType::cancel: return child.kind == ChildKind::worker && pass_on_cancel(child, message);
    case ControlType::node_report: {
        const auto body = message.body_as<NodeBody>();
        if (child.kind != ChildKind::health || !body || body->node < 0 || body->node >= nodes_.size()) {
            return false;
        }
        if (nodes_.observe(body->node)) {
            update_status();
        }
        return true;
    }
    case ControlType::shut_down:
    case ControlType::reload:
    case ControlType::reopen_logs: return false;
    }
    return false;
}

void Supervisor::on_ready(ChildRecord &child) {
    child.ready = true;
    if (child.kind == ChildKind::worker && child.running()) {
        shared_.worker(child.index).state.store(static_cast<uint32_t>(WorkerState::serving), std::memory_order_release);
    }
    if (!service_ready_ && !stopping_ && children_.all_ready()) {
        service_ready_ = true;
        const std::string where = "serving on " + parts_.listeners.description();
        log_at(LogLevel::notice, "pgbalancer 5.0.0 is %s with %d workers", where.c_str(), children_.worker_count());
        parts_.notice.tell(0);
        notify_ready(where);
    }
    update_status();
}

bool Supervisor::pass_on_suspicion(const ControlMessage &message) {
    const auto body = message.body_as<NodeBody>();
    if (!body || body->node < 0 || body->node >= nodes_.size()) {
        return false;
    }
    // Nothing is lost when health is not there, since it probes every node when it comes back.
    ChildRecord &health = children_.health();
    if (health.running() && !health.link()->send_body(ControlType::node_suspect, *body)) {
        log_at(LogLevel::warning, "health has not read its channel for long");
    }
    return true;
}

bool Supervisor::pass_on_cancel(const ChildRecord &from, const ControlMessage &message) {
    const auto body = message.body_as<CancelBody>();
    if (!body || body->worker >= static_cast<uint32_t>(children_.worker_count())) {
        return false;
    }
    ChildRecord &owner = children_.worker(static_cast<int>(body->worker));
    const uint32_t generation = shared_.worker(owner.index).generation.load(std::memory_order_relaxed);
    // The session may have gone, and its worker with it, while the request was on its way: then there is nothing to
    // cancel.
    if (owner.running() && generation == body->worker_generation &&
        !owner.link()->send_body(ControlType::cancel, *body)) {
        log_at(LogLevel::warning, "a cancel request from %s for %s is lost: it has not read its channel for long",
               from.name().c_str(), owner.name().c_str());
    }
    return true;
}

void Supervisor::on_reload_done() {
    if (reloads_awaited_ > 0 && --reloads_awaited_ == 0) {
        log_at(LogLevel::info, "the new configuration is in force in every process");
    }
}

// ---- Going down ----

void Supervisor::stop_service(int exit_code, const std::string &why) {
    failure_ = "cannot go on: " + why + "; its log says why";
    exit_code_ = exit_code;
    log_at(LogLevel::fatal, "%s", failure_.c_str());
    begin_shutdown(ShutDownMode::fast);
}

void Supervisor::begin_shutdown(ShutDownMode mode) {
    if (stopping_ && mode <= *stopping_) {
        return;
    }
    static constexpr const char *kNames[] = {"smart", "fast", "immediate"};
    log_at(LogLevel::notice, "%s shutdown", kNames[static_cast<size_t>(mode)]);
    const bool first = !stopping_;
    stopping_ = mode;
    shutdown_phase_began_ = monotonic_now();
    tell(ChildKind::worker, mode);
    if (first) {
        notify_stopping();
        parts_.listeners.close();
    }
    if (others_told_) {
        tell(ChildKind::health, mode);
    }
    continue_shutdown();
    update_status();
}

void Supervisor::continue_shutdown() {
    const ShutdownView view{.mode = *stopping_,
                            .workers = children_.running(ChildKind::worker),
                            .others = children_.running(ChildKind::health),
                            .others_told = others_told_,
                            .in_phase = monotonic_now() - shutdown_phase_began_};
    switch (decide_shutdown(view)) {
    case ShutdownStep::wait: {
        const auto grace = others_told_ ? kOthersGrace : kFastGrace;
        if ((others_told_ || *stopping_ == ShutDownMode::fast) && !shutdown_timer_.pending()) {
            shutdown_timer_.arm<&Supervisor::continue_shutdown>(
                loop_, std::chrono::duration_cast<std::chrono::microseconds>(grace - view.in_phase) + 1ms, this);
        }
        break;
    }
    case ShutdownStep::tell_others:
        others_told_ = true;
        shutdown_phase_began_ = monotonic_now();
        shutdown_timer_.disarm();
        tell(ChildKind::health, *stopping_);
        continue_shutdown();
        break;
    case ShutdownStep::kill_all:
        for (const auto &child : children_.all()) {
            if (child->running()) {
                log_at(*stopping_ == ShutDownMode::immediate ? LogLevel::info : LogLevel::warning, "%s is killed",
                       child->name().c_str());
                kill_child(*child);
            }
        }
        break;
    case ShutdownStep::finish:
        finished_ = true;
        log_at(LogLevel::notice, "shut down");
        break;
    }
}

void Supervisor::tell(ChildKind kind, ShutDownMode mode) {
    for (const auto &child : children_.all()) {
        if (child->kind != kind || !child->running()) {
            continue;
        }
        if (kind == ChildKind::worker) {
            shared_.worker(child->index)
                .state.store(static_cast<uint32_t>(WorkerState::stopping), std::memory_order_release);
        }
        if (!child->link()->send_body(ControlType::shut_down, ShutDownBody{.mode = mode})) {
            log_at(LogLevel::warning, "%s could not be told to shut down", child->name().c_str());
        }
    }
}

void Supervisor::update_status() {
    const std::string text = "since: " + utc_time(shared_.start_time_us()) + "\n" + "state: " +
                             (stopping_        ? "shutting down"
                              : service_ready_ ? "serving"
                                               : "starting") +
                             "\n" + "listening: " + parts_.listeners.description() + "\n" +
                             "workers: " + std::to_string(children_.ready(ChildKind::worker)) + " of " +
                             std::to_string(children_.worker_count()) + " ready\n" +
                             "health: " + (children_.health().ready ? "ready" : "not ready") + "\n" +
                             nodes_.description();
    if (Status written = parts_.status_file.write(text); !written) {
        log_at(LogLevel::warning, "%s", written.error().message.c_str());
    }
}

} // namespace pgbalancer
