#include "child/worker.h"

#include "child/login_state.h"
#include "child/worker_process.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/random.h"
#include "config/config_loader.h"
#include "config/log_options.h"

#include <algorithm>
#include <csignal>

namespace pgbalancer {

namespace {

constexpr int kExitOrdered = 0;
constexpr int kExitRestart = 1;
constexpr int kExitHopeless = 2;

constexpr std::chrono::milliseconds kTick{100};

Key key_of(const std::array<unsigned char, Key::kSize> &bytes) {
    Key key;
    key.bytes = bytes;
    return key;
}

} // namespace

int run_worker(WorkerContext context) {
    log_set_role("worker", context.index);
    signal(SIGPIPE, SIG_IGN);
    Worker worker(std::move(context));
    return worker.run();
}

Worker::Worker(WorkerContext context)
    : context_(std::move(context)), counters_(context_.shared->worker(context_.index).counters),
      control_(std::move(context_.control)), client_scratch_(new char[kScratchBytes]),
      server_scratch_(new char[kScratchBytes]),
      statements_(static_cast<size_t>(std::max(context_.config.statement_cache_size, 8))),
      no_settings_(parameters_.empty()), keys_(key_of(context_.login_key)), resolver_(loop_), cancels_(*this),
      routing_(context_.config, rules_made_), preferences_(context_.config), dice_(random_u64()),
      pools_(*this, context_.config.max_pool), acceptor_(*this, context_.listeners) {
    read_clocks();
}

Worker::~Worker() {
    acceptor_.stop();
    for (auto &session : sessions_) {
        if (session != nullptr) {
            session->close();
        }
    }
    pools_.close_all();
    graveyard_.clear();
}

int Worker::run() {
    start();
    while (turn()) {
    }
    return exit_code_;
}

void Worker::start() {
    if (!load_credentials()) {
        exit_code_ = kExitHopeless;
        return;
    }
    control_event_.arm<&Worker::on_control>(loop_, control_.fd(), EV_READ, this);
    tick_.arm<&Worker::on_tick>(loop_, kTick, this, true);
    topology_.refresh(shared(), context_.config, true);
    pools_.on_nodes_changed();
    defaults_generation_ = shared().defaults_generation().load(std::memory_order_acquire);
    acceptor_.start();
    if (!control_.send(ControlType::ready)) {
        exit_code_ = kExitRestart;
    }
}

bool Worker::turn() {
    if (exit_code_ >= 0) {
        return false;
    }
    if (!loop_.turn()) {
        log_at(LogLevel::fatal, "the event loop failed");
        exit_code_ = kExitRestart;
        return false;
    }
    between_turns();
    return exit_code_ < 0;
}

// False if a file has an error; what was loaded before stays in force then.
bool Worker::load_credentials() {
    const Config &config = context_.config;
    FileProblems problems;
    if (!config.pool_passwd.empty()) {
        if (auto loaded = PasswordFile::load(config.pool_passwd, problems)) {
            passwords_ = std::move(*loaded);
            keys_.precompute(passwords_);
        }
    }
    if (config.enable_pool_hba) {
        if (auto loaded = HbaRules::load(config.pool_hba_file, problems)) {
            hba_ = std::move(*loaded);
        }
    }
    for (const auto &text : problems.warnings) {
        log_at(LogLevel::warning, "%s", text.c_str());
    }
    for (const auto &text : problems.errors) {
        log_at(LogLevel::error, "%s", text.c_str());
    }
    return problems.errors.empty();
}

// What must not happen inside a callback, and what is looked at once per turn.
void Worker::between_turns() {
    to_servers_.flush();
    to_clients_.flush();
    pools_.reap();
    cancels_.reap();
    graveyard_.clear();
    read_clocks();
    const uint32_t version = topology_.version();
    topology_.refresh(shared(), context_.config);
    if (version != topology_.version()) {
        pools_.on_nodes_changed();
    }
    if (defaults_generation_ != shared().defaults_generation().load(std::memory_order_acquire)) {
        defaults_generation_ = shared().defaults_generation().load(std::memory_order_acquire);
        pools_.recycle();
    }
}

void Worker::read_clocks() {
    now_ms_ = std::chrono::duration_cast<std::chrono::milliseconds>(coarse_monotonic_now()).count();
    now_us_ = coarse_wall_now_us();
}

void Worker::on_tick() {
    pools_.tick(now_ms_);
    cancels_.tick(now_ms_);
    for (uint32_t i = 0; i < sessions_.size(); i++) {
        if (sessions_[i] != nullptr) {
            sessions_[i]->check_limits(now_ms_);
        }
    }
    publish_statistics();
    if (shutting_down_) {
        drain();
    }
}

void Worker::publish_statistics() {
    const auto &cache = statements_.counters();
    counters().statement_hits.store(cache.hits, std::memory_order_relaxed);
    counters().statement_misses.store(cache.misses + cache.uncached, std::memory_order_relaxed);
}

// -- Sessions.

void Worker::add_client(UniqueFd fd, const PeerAddress &address) {
    bump(counters().connections);
    uint32_t index = 0;
    if (!free_sessions_.empty()) {
        index = free_sessions_.back();
        free_sessions_.pop_back();
    } else if (sessions_.size() < shared().sizes().sessions_per_worker) {
        index = static_cast<uint32_t>(sessions_.size());
        sessions_.emplace_back();
    } else {
        return; // far beyond the limit, and nobody has said yet what it wants: closed
    }
    auto login = std::make_unique<LoginState>();
    login->address = address;
    sessions_[index] = std::make_unique<Session>(*this, std::move(fd), index, std::move(login));
    session_count_++;
    sessions_[index]->start();
}

void Worker::session_closed(Session &session) {
    const uint32_t index = session.index();
    graveyard_.push_back(std::move(sessions_[index]));
    free_sessions_.push_back(index);
    session_count_--;
}

void Worker::route_cancel(uint32_t pid, uint32_t secret) {
    const uint64_t key = uint64_t{pid} << 32 | secret;
    if (key == 0) {
        return;
    }
    const auto owner = shared().find_cancel_key(key);
    if (!owner) {
        return; // no such session (any more): PostgreSQL does not answer either
    }
    const CancelBody body{.worker = static_cast<uint32_t>(owner->worker),
                          .worker_generation = owner->worker_generation,
                          .session = owner->session,
                          .key_pid = pid,
                          .key_secret = secret};
    if (owner->worker == context_.index) {
        on_cancel_message(body);
    } else if (!control_.send_body(ControlType::cancel, body)) {
        log_at(LogLevel::warning, "a cancel request could not be passed on");
    }
}

void Worker::on_cancel_message(const CancelBody &body) {
    Session *target = session(body.session);
    const uint64_t key = uint64_t{body.key_pid} << 32 | body.key_secret;
    if (target != nullptr && key != 0 && target->cancel_key() == key) {
        target->cancel();
    }
}

void Worker::report_suspect(int node) {
    const NodeBody body{.node = node};
    // A full queue means that the supervisor has enough reports to read.
    (void)control_.send_body(ControlType::node_suspect, body);
}

// -- The supervisor.

void Worker::on_control(short) {
    for (;;) {
        auto received = control_.receive();
        if (!received) {
            log_at(LogLevel::fatal, "lost the supervisor: %s", received.error().message.c_str());
            exit_code_ = kExitRestart;
            return;
        }
        if (!*received) {
            return;
        }
        handle(**received);
        if (exit_code_ >= 0) {
            return;
        }
    }
}

void Worker::handle(const ControlMessage &message) {
    switch (message.type) {
    case ControlType::shut_down:
        if (const auto body = message.body_as<ShutDownBody>()) {
            shut_down(body->mode);
            return;
        }
        break;
    case ControlType::reload: reload(message.fd); return;
    case ControlType::reopen_logs:
        if (!log_reopen()) {
            log_at(LogLevel::error, "the log file could not be opened anew");
        }
        return;
    case ControlType::cancel:
        if (const auto body = message.body_as<CancelBody>()) {
            on_cancel_message(*body);
            return;
        }
        break;
    default: break;
    }
    log_at(LogLevel::fatal, "a control message that makes no sense");
    exit_code_ = kExitRestart;
}

void Worker::reload(const UniqueFd &text) {
    const auto read = read_sealed_text(text);
    if (!read) {
        log_at(LogLevel::error, "reload: %s", read.error().message.c_str());
        return;
    }
    auto load = load_config_text(*read, context_.config.source_path);
    if (load.config) { // the supervisor has checked it; files may have changed since
        context_.config = reloadable_part(context_.config, *load.config);
        const LogOptions log = log_options(context_.config);
        if (!log_configure(log)) {
            log_at(LogLevel::error, "reload: the log destination could not be opened");
        }
        (void)load_credentials(); // has said what is wrong
        routing_ = RoutingRules(context_.config, ++rules_made_);
        preferences_ = RedirectPreferences(context_.config);
        topology_.refresh(shared(), context_.config, true);
        pools_.on_nodes_changed();
    }
    (void)control_.send(ControlType::reload_done);
}

void Worker::shut_down(ShutDownMode mode) {
    acceptor_.stop();
    shutting_down_ = true;
    if (mode == ShutDownMode::smart) {
        drain();
        return;
    }
    for (uint32_t i = 0; i < sessions_.size(); i++) {
        if (sessions_[i] != nullptr) {
            sessions_[i]->end("57P01", "terminating connection due to administrator command");
        }
    }
    pools_.close_all();
    exit_code_ = kExitOrdered;
}

// Smart shutdown: sessions go as they come to the end of their transactions.
void Worker::drain() {
    for (uint32_t i = 0; i < sessions_.size(); i++) {
        if (sessions_[i] != nullptr && sessions_[i]->at_boundary()) {
            sessions_[i]->end("57P01", "terminating connection due to administrator command");
        }
    }
    if (session_count_ == 0) {
        pools_.close_all();
        (void)control_.send(ControlType::drained);
        exit_code_ = kExitOrdered;
    }
}

} // namespace pgbalancer
