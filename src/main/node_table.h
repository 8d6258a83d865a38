// node_table.h: the supervisor's own record of the nodes: the only place where their state changes.
//
// Takes what health reports, decides by node_policy, and publishes the result in shared memory with an epoch
// number, a line in the log and an event in the history. Supervisor only.
#pragma once

#include "config/config.h"
#include "shm/shared_state.h"

#include <string>
#include <vector>

namespace pgbalancer {

class NodeTable {
  public:
    // `shared` must outlive the table and have as many nodes as `config` has backends. Publishes at once.
    NodeTable(SharedState &shared, const Config &config);

    int size() const { return static_cast<int>(nodes_.size()); }
    // Health has published a new observation of this node. True when status, role or primary changed.
    bool observe(int index);
    // After a reload: weights and flags.
    void configure(const Config &config);

    // One line per node, for the status file.
    std::string description() const;

  private:
    void record(EventType type, int index, const std::string &text);
    void report_change(int index, NodeStatus former_status, NodeRole former_role);
    bool decide_primary_again();

    SharedState &shared_;
    std::vector<NodeSnapshot> nodes_;
    int always_primary_ = -1;
    int primary_ = -1;
    int second_primary_ = -1; // of those that nobody uses, the last one complained about
    uint64_t epoch_ = 0;
};

} // namespace pgbalancer
