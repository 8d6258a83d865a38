// position_link.h: keeps asking one server for its place in the write-ahead log.
//
// At most one question is under way, so a server that does not answer costs nothing but its own sample. A connection
// that is lost is opened again, at most once a second; where the server keeps refusing the login or the question, every
// ten seconds, since it writes that to its log. Health process only; one per node.
#pragma once

#include "health/node_connection.h"
#include "health/position_sample.h"

#include <chrono>
#include <optional>
#include <string>

namespace pgbalancer {

class PositionLink final : private NodeConnection::Owner {
  public:
    class Owner {
      public:
        virtual void on_position(int node, const PositionSample &sample) = 0;
        // What was known of the server need not hold when it is back.
        virtual void on_position_lost(int node) = 0;

      protected:
        ~Owner() = default;
    };

    // `node` is the node's place in shared memory, `id` its number for people.
    PositionLink(EventLoop &loop, int node, int id, Owner &owner)
        : node_(node), id_(id), owner_(owner), connection_(loop, "pgbalancer positions", *this) {}

    // Nothing: nobody is to be asked.
    void configure(std::optional<NodeTarget> target, std::chrono::milliseconds timeout);
    // Asks, if nothing is under way; connects first, if need be. The answer comes later.
    void ask();

  private:
    void on_connection_open() override;
    void on_connection_answer(const PGresult &answer) override;
    void on_connection_failed(const NodeConnection::Failure &failure) override;
    void question();
    void close();
    void complain(std::string why);

    int node_;
    int id_;
    Owner &owner_;
    std::optional<NodeTarget> target_;
    std::chrono::milliseconds timeout_{0};
    std::chrono::nanoseconds began_{0};      // what is under way, or was last
    std::chrono::nanoseconds opened_{0};     // the last attempt to connect
    std::chrono::nanoseconds not_before_{0}; // after a refusal
    int64_t asked_us_ = 0;
    bool prepared_ = false; // on this connection
    std::string complaint_; // the last one; not repeated
    NodeConnection connection_;
};

} // namespace pgbalancer
