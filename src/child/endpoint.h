// endpoint.h: one socket of a worker and what waits to be written to it.
//
// Base of Session and ServerConnection. Level-triggered reading is armed once and stays; writing is armed only after
// the kernel refused bytes (EAGAIN), so the steady state makes no event_add and no event_del. Bytes to write are
// gathered in the worker's Outgoing and leave with one system call per readiness; only what the kernel refuses is
// copied into `pending`. Whoever has something pending is *blocked*, and its source stops being read.
#pragma once

#include "child/buffer.h"
#include "common/event_loop.h"
#include "common/unique_fd.h"

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <sys/uio.h>

namespace pgbalancer {

class Endpoint {
  public:
    Endpoint() = default;
    Endpoint(const Endpoint &) = delete;
    Endpoint &operator=(const Endpoint &) = delete;

    int descriptor() const { return fd_.get(); }
    bool blocked() const { return !pending_.empty(); }
    bool broken() const { return broken_; }
    size_t pending_bytes() const { return pending_.size(); }

  protected:
    ~Endpoint() = default;

    // The kernel refused bytes: arm EV_WRITE. Called outside any callback of this endpoint's own.
    virtual void on_blocked() = 0;
    // Writes what is pending. False when the connection is broken.
    bool write_pending();

    friend class Outgoing;
    UniqueFd fd_;
    IoEvent io_; // after fd_: goes first
    Buffer pending_;
    bool broken_ = false;
};

// Gathers what one endpoint is to be sent, without copying what stays where it is until the flush. One per direction
// and worker; adding for another endpoint flushes the former first. Messages mostly come one after another from one
// receive buffer: those become one part.
class Outgoing {
  public:
    Outgoing();
    Outgoing(const Outgoing &) = delete;
    Outgoing &operator=(const Outgoing &) = delete;

    // `bytes` must stay valid until flush().
    void add(Endpoint &to, std::string_view bytes) {
        if (to_ == &to && bytes.data() == end_) {
            parts_[count_ - 1].iov_len += bytes.size();
            end_ += bytes.size();
        } else {
            add_part(to, bytes);
        }
    }
    void add_copy(Endpoint &to, std::string_view bytes);
    void flush() {
        if (to_ != nullptr) {
            send_gathered();
        }
    }
    // The endpoint is going away: forget what was gathered for it.
    void forget(const Endpoint &endpoint);

  private:
    void add_part(Endpoint &to, std::string_view bytes);
    void send_gathered();

    static constexpr size_t kMaxParts = 64; // far below IOV_MAX
    static constexpr size_t kArenaBytes = 16384;
    Endpoint *to_ = nullptr;    // null: nothing is gathered
    const char *end_ = nullptr; // of the last part
    size_t count_ = 0;
    std::array<iovec, kMaxParts> parts_;
    std::unique_ptr<char[]> arena_;
    size_t arena_used_ = 0;
};

} // namespace pgbalancer
