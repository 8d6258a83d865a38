// supervisor.h: the parent of all: forks, reaps, decides; serves nobody.
//
// Single-threaded, one event loop, never blocks and takes no lock. What it is to decide is in the *_policy files; what
// it knows is in its own tables. Children only report: what they say makes the supervisor look, never fail.
#pragma once

#include "common/event_loop.h"
#include "config/config.h"
#include "main/child_process.h"
#include "main/daemon.h"
#include "main/listeners.h"
#include "main/node_table.h"
#include "main/process_table.h"
#include "main/spawn_policy.h"
#include "main/status_file.h"
#include "shm/shared_state.h"

#include <array>
#include <optional>
#include <string>
#include <vector>

namespace pgbalancer {

class Supervisor final : private ProcessObserver {
  public:
    // All must outlive the supervisor.
    struct Parts {
        SharedState &shared;
        Listeners &listeners;
        StatusFile &status_file;
        ProcessTitle &title;
        StartNotice &notice;
        std::vector<LeftFile> left_files;
    };

    Supervisor(Config config, Parts parts);

    // Serves until told to stop and every child has gone. Returns the exit code.
    int run();
    // Why it ended by itself; empty when it was told to stop.
    const std::string &failure() const { return failure_; }

  private:
    // Signals
    void arm_signals();
    void on_stop_signal(int signal);
    void on_reload_signal(int signal);
    void on_reopen_signal(int signal);
    void on_child_signal(int signal);

    // Children
    void spawn(ChildRecord &child);
    void reap(pid_t pid, int wait_status);
    void replace(ChildRecord &child, const SpawnDecision &decision);
    void give_another_chance();
    void kill_child(const ChildRecord &child);
    void on_child_message(ChildRecord &child, ControlMessage message) override;
    void on_child_lost(ChildRecord &child, const Error &why) override;
    void on_child_timer(ChildRecord &child) override;

    // Messages
    bool handle(ChildRecord &child, const ControlMessage &message);
    void on_ready(ChildRecord &child);
    bool pass_on_suspicion(const ControlMessage &message);
    bool pass_on_cancel(const ChildRecord &from, const ControlMessage &message);
    void on_reload_done();

    // Going down
    void stop_service(int exit_code, const std::string &why);
    void begin_shutdown(ShutDownMode mode);
    void continue_shutdown();
    void tell(ChildKind kind, ShutDownMode mode);

    void update_status();

    EventLoop loop_;
    Config config_;
    Parts parts_;
    SharedState &shared_;
    std::array<unsigned char, 32> login_key_{}; // see WorkerContext
    NodeTable nodes_;
    ProcessTable children_;
    SignalEvent stop_smart_, stop_fast_, stop_immediate_, reload_, reopen_, child_;
    TimerEvent shutdown_timer_;

    bool service_ready_ = false;
    std::optional<ShutDownMode> stopping_;
    bool others_told_ = false;
    std::chrono::nanoseconds shutdown_phase_began_{0};
    int reloads_awaited_ = 0;
    int exit_code_ = 0;
    std::string failure_;
    bool finished_ = false;
};

} // namespace pgbalancer
