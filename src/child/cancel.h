// cancel.h: cancel requests on their way to a server (manual: Message Flow, Cancelling Requests in Progress).
//
// Each travels on a connection of its own, which the server closes when it has passed the signal on. Until then the
// server connection it is meant for is not given to another session, so that a late signal can hit nobody else's
// query. Worker process; asynchronous; bounded by connect_timeout.
#pragma once

#include "common/event_loop.h"
#include "common/unique_fd.h"

#include <cstdint>
#include <list>

namespace pgbalancer {

class ServerConnection;
class Worker;
struct ResolvedAddress;

class CancelCourier {
  public:
    explicit CancelCourier(Worker &worker) : worker_(worker) {}
    CancelCourier(const CancelCourier &) = delete;
    CancelCourier &operator=(const CancelCourier &) = delete;

    void send(ServerConnection &server);
    // The server connection is gone: its couriers have nobody to tell.
    void forget(const ServerConnection &server);
    void tick(int64_t now_ms);
    void reap();

  private:
    struct Errand {
        CancelCourier *courier;
        ServerConnection *server;
        uint32_t pid;
        uint32_t secret;
        UniqueFd fd;
        IoEvent io;
        int64_t deadline_ms = 0;
        bool sent = false;
        bool done = false;
        void on_io(short what);
    };
    void finish(Errand &errand);

    Worker &worker_;
    std::list<Errand> errands_;
};

} // namespace pgbalancer
