// child_link.h: the supervisor's end of a child's control channel, registered in its event loop.
//
// What the child's queue does not take at once waits here, in order. Supervisor only.
#pragma once

#include "common/event_loop.h"
#include "main/control_channel.h"

#include <deque>
#include <span>
#include <vector>

namespace pgbalancer {

class ChildLink {
  public:
    class Owner {
      public:
        virtual void on_message(ControlMessage message) = 0;
        // The child closed its end or sent what is not a message. No call follows. The link must outlive this call.
        virtual void on_link_lost(const Error &why) = 0;

      protected:
        ~Owner() = default;
    };

    ChildLink(EventLoop &loop, UniqueFd fd, Owner &owner);

    // False: dropped, because the child is gone or has not read for very long.
    [[nodiscard]] bool send(ControlType type, std::span<const std::byte> body = {}, int fd = -1);
    template <class Body> [[nodiscard]] bool send_body(ControlType type, const Body &body) {
        return send(type, std::as_bytes(std::span(&body, 1)));
    }
    // Delivers what has arrived and was not read yet: a child that has ended may have said something before.
    void drain();

  private:
    struct Waiting {
        ControlType type;
        std::vector<std::byte> body;
        UniqueFd fd;
    };

    void on_event(short what);
    void flush();
    void lose(const Error &why);

    EventLoop &loop_;
    Owner &owner_;
    ControlChannel channel_;
    std::deque<Waiting> waiting_;
    IoEvent event_;
    bool lost_ = false;
};

} // namespace pgbalancer
