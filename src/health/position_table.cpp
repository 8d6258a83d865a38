#include "health/position_table.h"

#include <algorithm>
#include <utility>

namespace pgbalancer {

PositionTable::PositionTable(std::vector<std::string> application_names)
    : names_(std::move(application_names)), positions_(names_.size()), standbys_(names_.size()) {}

void PositionTable::restart(int primary, uint64_t epoch) {
    primary_ = primary;
    epoch_ = epoch;
    timeline_ = 0;
    history_.clear();
    std::ranges::fill(positions_, NodePosition{.epoch = epoch});
    std::ranges::fill(standbys_, Standby{});
}

void PositionTable::take(int node, const PositionSample &sample) {
    // A server in the other role than it is used in: soon there will be another epoch.
    if (sample.in_recovery == (node == primary_)) {
        forget(node);
        return;
    }
    if (node == primary_) {
        take_primary(sample);
    } else {
        take_standby(node, sample);
    }
    compare();
}

void PositionTable::take_primary(const PositionSample &sample) {
    if (timeline_ != 0 && sample.timeline != timeline_) {
        restart(primary_, epoch_);
    }
    timeline_ = sample.timeline;
    history_.add(sample.lsn, sample.asked_us);
    position(primary_).lsn = sample.lsn;
    position(primary_).sampled_monotonic_us = sample.asked_us;
    note_senders(sample.senders);
}

void PositionTable::take_standby(int node, const PositionSample &sample) {
    NodePosition &now = position(node);
    if (sample.lsn < now.lsn) {
        forget(node);
        return;
    }
    now.lsn = sample.lsn;
    now.received_lsn = sample.received_lsn;
    now.sampled_monotonic_us = sample.asked_us;
    Standby &standby = standbys_[static_cast<size_t>(node)];
    standby = {.timeline = sample.timeline,
               .receiver_pid = sample.receiver_pid,
               .former_receiver_pid = standby.receiver_pid,
               .replay_age_us = sample.replay_age_us};
}

void PositionTable::forget(int node) {
    const NodePosition before = position(node);
    position(node) = {.epoch = epoch_};
    standbys_[static_cast<size_t>(node)] = {};
    if (node == primary_) {
        history_.clear();
        note_senders({});
        compare();
    } else {
        position(node).replication_state = before.replication_state;
        position(node).replication_sync_state = before.replication_sync_state;
    }
}

void PositionTable::note_senders(const std::vector<WalSenderRow> &senders) {
    for (size_t node = 0; node < names_.size(); node++) {
        // Others may bear the same name, such as a base backup; the one that streams is the standby.
        const WalSenderRow *found = nullptr;
        for (const WalSenderRow &row : senders) {
            if (row.application_name == names_[node] && (found == nullptr || row.state == "streaming")) {
                found = &row;
            }
        }
        positions_[node].replication_state.set(found != nullptr ? found->state : std::string());
        positions_[node].replication_sync_state.set(found != nullptr ? found->sync_state : std::string());
    }
}

// A standby whose WAL belongs to another history is refused by its sender, again and again. Where the timeline may not
// be seen, a receiver that outlives a period is one that was not refused.
bool PositionTable::follows_primary(const Standby &standby) const {
    if (standby.receiver_pid == 0) {
        return false;
    }
    return standby.timeline != 0 ? standby.timeline == timeline_ : standby.receiver_pid == standby.former_receiver_pid;
}

void PositionTable::compare() {
    const uint64_t end = primary_ >= 0 ? position(primary_).lsn : 0;
    for (size_t node = 0; node < positions_.size(); node++) {
        NodePosition &standby = positions_[node];
        if (static_cast<int>(node) == primary_ || standby.lsn == 0) {
            continue;
        }
        if (follows_primary(standbys_[node])) {
            standby.fresh_until_us = std::max(standby.fresh_until_us, history_.time_of(standby.lsn));
        }
        standby.lag_bytes = end > standby.lsn ? end - standby.lsn : 0;
        standby.delay_us = delay_of(standby, standbys_[node].replay_age_us);
    }
}

// The age of the last transaction says too much where the primary rests for a while and then writes; that the standby
// was fresh at some time bounds it.
int64_t PositionTable::delay_of(const NodePosition &standby, int64_t replay_age_us) const {
    if (standby.lag_bytes == 0 && standby.received_lsn <= standby.lsn) {
        return 0;
    }
    int64_t latest_us = standby.sampled_monotonic_us;
    if (primary_ >= 0) {
        latest_us = std::max(latest_us, positions_[static_cast<size_t>(primary_)].sampled_monotonic_us);
    }
    int64_t delay_us = -1;
    if (replay_age_us >= 0) {
        delay_us = replay_age_us + latest_us - standby.sampled_monotonic_us;
    }
    if (standby.fresh_until_us != 0) {
        const int64_t bound_us = std::max<int64_t>(latest_us - standby.fresh_until_us, 0);
        delay_us = delay_us < 0 ? bound_us : std::min(delay_us, bound_us);
    }
    return delay_us;
}

} // namespace pgbalancer
