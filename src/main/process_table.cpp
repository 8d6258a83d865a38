#include "main/process_table.h"

#include "common/clock.h"

#include <algorithm>

namespace pgbalancer {

ChildRecord::ChildRecord(ChildKind kind_of_child, int number, ProcessObserver &observer)
    : kind(kind_of_child), index(number), observer_(observer) {}

void ChildRecord::start(EventLoop &loop, pid_t new_pid, UniqueFd control) {
    pid_ = new_pid;
    forked_at = monotonic_now();
    link_ = std::make_unique<ChildLink>(loop, std::move(control), static_cast<ChildLink::Owner &>(*this));
}

void ChildRecord::end() {
    // From here on the number may belong to another process.
    pid_ = 0;
    ready = false;
    timer_.disarm();
    link_->drain();
    link_.reset();
    timer_.disarm();
}

void ChildRecord::arm_timer(EventLoop &loop, std::chrono::milliseconds after) {
    timer_.arm<&ChildRecord::on_timer>(loop, after, this);
}

std::string ChildRecord::name() const {
    return kind == ChildKind::health ? std::string("health") : "worker " + std::to_string(index);
}

void ChildRecord::on_message(ControlMessage message) { observer_.on_child_message(*this, std::move(message)); }
void ChildRecord::on_link_lost(const Error &why) { observer_.on_child_lost(*this, why); }
void ChildRecord::on_timer() { observer_.on_child_timer(*this); }

ProcessTable::ProcessTable(int workers, ProcessObserver &observer) {
    children_.push_back(std::make_unique<ChildRecord>(ChildKind::health, 0, observer));
    for (int i = 0; i < workers; i++) {
        children_.push_back(std::make_unique<ChildRecord>(ChildKind::worker, i, observer));
    }
}

ChildRecord *ProcessTable::find(pid_t pid) const {
    const auto found = std::ranges::find_if(children_, [pid](const auto &child) { return child->pid() == pid; });
    return found == children_.end() ? nullptr : found->get();
}

int ProcessTable::running(ChildKind kind) const {
    return static_cast<int>(std::ranges::count_if(
        children_, [kind](const auto &child) { return child->kind == kind && child->running(); }));
}

int ProcessTable::ready(ChildKind kind) const {
    return static_cast<int>(
        std::ranges::count_if(children_, [kind](const auto &child) { return child->kind == kind && child->ready; }));
}

bool ProcessTable::all_ready() const {
    return std::ranges::all_of(children_, [](const auto &child) { return child->ready; });
}

bool ProcessTable::other_worker_left(const ChildRecord &child) const {
    return std::ranges::any_of(children_, [&child](const auto &other) {
        return other->kind == ChildKind::worker && other.get() != &child && !other->abandoned;
    });
}

} // namespace pgbalancer
