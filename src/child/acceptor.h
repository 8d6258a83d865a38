// acceptor.h: takes clients off the listeners that all workers share.
//
// Every worker polls the same listening sockets. So that clients spread evenly over the workers, one that holds clearly
// more clients than the mean stops accepting for a moment; never for long, because the others may be stuck. When
// the process is out of descriptors it stops for a moment too instead of spinning. Worker process.
#pragma once

#include "common/event_loop.h"

#include <cstdint>
#include <memory>
#include <vector>

namespace pgbalancer {

class Worker;

// Whether a worker with `mine` clients should leave the next one to the others, who hold `total - mine`.
bool decide_to_yield(uint64_t mine, uint64_t total, uint64_t workers);

class Acceptor {
  public:
    Acceptor(Worker &worker, const std::vector<int> &listeners);
    void start();
    void stop(); // for good

  private:
    struct Listener {
        Acceptor *acceptor;
        int fd;
        IoEvent io;
        void on_ready(short what);
    };
    bool accept_one(int fd);
    void pause(std::chrono::microseconds time);
    void on_pause_over();
    bool must_yield();

    Worker &worker_;
    std::vector<std::unique_ptr<Listener>> listeners_;
    TimerEvent pause_;
    bool running_ = false;
    bool yielded_ = false; // once already for the client at the door
};

} // namespace pgbalancer
