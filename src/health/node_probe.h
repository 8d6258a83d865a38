// node_probe.h: asks one server over libpq whether it is in recovery, without blocking.
//
// Keeps its connection from one probe to the next, and watches it in between: a server that goes away is noticed when
// its connections close. A kept connection that turns out dead says nothing about the server, so the same probe goes
// on with a new one. Health process only; one per node.
#pragma once

#include "common/event_loop.h"
#include "health/node_connection.h"
#include "shm/layout.h"

#include <chrono>
#include <string>

namespace pgbalancer {

struct NodeProbeResult {
    ProbeOutcome outcome = ProbeOutcome::none;
    bool in_recovery = false; // with `answered`
    int server_version = 0;   // PQserverVersion(); 0 = not known
    std::string error;        // with every other outcome
};

class NodeProbe final : private NodeConnection::Owner {
  public:
    class Owner {
      public:
        // Ends a probe. A new one may be started from within.
        virtual void on_probe_result(const NodeProbeResult &result) = 0;
        // Between probes: the kept connection was closed.
        virtual void on_probe_connection_lost() = 0;

      protected:
        ~Owner() = default;
    };

    NodeProbe(EventLoop &loop, Owner &owner)
        : loop_(loop), owner_(owner), connection_(loop, "pgbalancer health", *this) {}

    bool running() const { return running_; }
    // Not while running. The result is delivered through the loop, never from within.
    void start(const NodeTarget &target, std::chrono::milliseconds timeout);

  private:
    void connect();
    void ask();
    void on_first_turn();
    void on_timeout();
    void on_connection_open() override;
    void on_connection_answer(const PGresult &answer) override;
    void on_connection_failed(const NodeConnection::Failure &failure) override;
    // The connection is of no use: another one if it was a kept one, else that is the result.
    void give_up_connection(const NodeProbeResult &result);
    void finish(const NodeProbeResult &result);

    EventLoop &loop_;
    Owner &owner_;
    NodeTarget target_;
    bool running_ = false;
    bool kept_ = false; // the connection was made by an earlier probe
    NodeConnection connection_;
    TimerEvent timeout_;
    TimerEvent first_turn_;
};

} // namespace pgbalancer
