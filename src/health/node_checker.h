// node_checker.h: one node's checks: when, how often again, what came of them.
//
// Publishes each check's outcome and the node's statistics in shared memory. Health process only; one per node.
#pragma once

#include "common/event_loop.h"
#include "config/config.h"
#include "health/check_policy.h"
#include "health/node_probe.h"
#include "shm/shared_state.h"

#include <chrono>

namespace pgbalancer {

class NodeChecker final : private NodeProbe::Owner {
  public:
    class Owner {
      public:
        // The node's observation in shared memory differs in something that matters from the last one reported. False:
        // could not be passed on; it is offered again after the next check.
        virtual bool report(int node) = 0;
        // A check has ended.
        virtual void on_check_concluded() = 0;

      protected:
        ~Owner() = default;
    };

    // `index` is the node's place in `config.backends` and in shared memory. Starts the first check at once.
    NodeChecker(EventLoop &loop, SharedState &shared, const Config &config, int index, Owner &owner);

    // Takes effect with the next check.
    void configure(const Config &config);
    // Somebody could not reach the node: looks soon, instead of when the period is over.
    void suspect();
    // At least one check has ended.
    bool concluded() const { return observation_.outcome != ProbeOutcome::none && checked_; }

  private:
    void begin_probe();
    void on_probe_result(const NodeProbeResult &result) override;
    void on_probe_connection_lost() override;
    void count(const NodeProbeResult &result, std::chrono::microseconds duration);
    void conclude(const NodeProbeResult &result);

    EventLoop &loop_;
    SharedState &shared_;
    Owner &owner_;
    int index_;
    CheckSettings settings_;
    std::chrono::milliseconds timeout_{0};
    NodeTarget target_;

    NodeObservation observation_;
    NodeObservation reported_;
    bool checked_ = false;
    int retries_ = 0;              // of the check that is going on
    bool suspected_again_ = false; // while a probe was running that may have begun before
    std::chrono::nanoseconds probe_began_{0};
    std::chrono::nanoseconds check_ended_{0};
    TimerEvent next_;
    NodeProbe probe_;
};

} // namespace pgbalancer
