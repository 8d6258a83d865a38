// process_table.h: the supervisor's record of its children: the only source of what to signal and what to replace.
#pragma once

#include "common/event_loop.h"
#include "main/child_link.h"

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <sys/types.h>
#include <vector>

namespace pgbalancer {

enum class ChildKind : uint8_t { worker, health };

class ChildRecord;

// Who is told what happens to a child. No call may destroy the record or its link.
class ProcessObserver {
  public:
    virtual void on_child_message(ChildRecord &child, ControlMessage message) = 0;
    virtual void on_child_lost(ChildRecord &child, const Error &why) = 0;
    virtual void on_child_timer(ChildRecord &child) = 0;

  protected:
    ~ProcessObserver() = default;
};

// A place for a child: stays when the process in it ends and another takes over.
class ChildRecord final : private ChildLink::Owner {
  public:
    ChildRecord(ChildKind kind_of_child, int number, ProcessObserver &observer);

    // A process has been forked into this place; `control` is our end of its channel.
    void start(EventLoop &loop, pid_t new_pid, UniqueFd control);
    // It has been reaped: delivers what it still had to say, then forgets it.
    void end();
    // observer.on_child_timer() after this interval: to replace a child that is gone, or kill one that will not go.
    void arm_timer(EventLoop &loop, std::chrono::milliseconds after);

    bool running() const { return pid_ != 0; }
    pid_t pid() const { return pid_; }
    ChildLink *link() { return link_.get(); }
    std::string name() const;

    const ChildKind kind;
    const int index; // among its kind
    bool ready = false;
    bool abandoned = false; // not to be replaced any more
    int quick_deaths = 0;   // in a row
    std::chrono::nanoseconds forked_at{0};

  private:
    void on_message(ControlMessage message) override;
    void on_link_lost(const Error &why) override;
    void on_timer();

    ProcessObserver &observer_;
    pid_t pid_ = 0;
    std::unique_ptr<ChildLink> link_;
    TimerEvent timer_;
};

class ProcessTable {
  public:
    ProcessTable(int workers, ProcessObserver &observer);

    // Health first: workers want to know the primary.
    const std::vector<std::unique_ptr<ChildRecord>> &all() const { return children_; }
    ChildRecord *find(pid_t pid) const;
    ChildRecord &worker(int index) const { return *children_[static_cast<size_t>(index) + 1]; }
    ChildRecord &health() const { return *children_[0]; }

    int running(ChildKind kind) const;
    int ready(ChildKind kind) const;
    int worker_count() const { return static_cast<int>(children_.size()) - 1; }
    bool all_ready() const;
    // Whether some other worker serves, or will.
    bool other_worker_left(const ChildRecord &child) const;

  private:
    std::vector<std::unique_ptr<ChildRecord>> children_;
};

} // namespace pgbalancer
