// event_loop.h: libevent behind owning types. The only file that names libevent's event functions
// (its HTTP part has its own home).
//
// A process makes its EventLoop after its fork and never hands it to a child. Callbacks are noexcept
// member functions, bound at compile time: no allocation and no std::function. An event belongs to the
// object that owns the descriptor and is declared after it, so that it goes first. Single-threaded.
#pragma once

#include <chrono>
#include <cstdlib>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <memory>

namespace pgbalancer {

class EventLoop {
  public:
    EventLoop() {
        event_config *config = event_config_new();
        if (config == nullptr) {
            abort();
        }
        // Nobody else touches this base, so no locks; the changelist saves epoll_ctl calls.
        event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK);
        event_config_set_flag(config, EVENT_BASE_FLAG_EPOLL_USE_CHANGELIST);
        event_config_set_flag(config, EVENT_BASE_FLAG_NO_CACHE_TIME);
        base_ = event_base_new_with_config(config);
        event_config_free(config);
        if (base_ == nullptr) {
            abort();
        }
    }
    ~EventLoop() { event_base_free(base_); }
    EventLoop(const EventLoop &) = delete;
    EventLoop &operator=(const EventLoop &) = delete;

    // Waits for events once and runs their callbacks: one turn. False when nothing is registered or on failure.
    [[nodiscard]] bool turn() { return event_base_loop(base_, EVLOOP_ONCE) == 0; }
    event_base *raw() { return base_; }

  private:
    event_base *base_;
};

// Readiness of one descriptor. Level-triggered and persistent: stays registered until disarmed.
class IoEvent {
  public:
    IoEvent() = default;
    ~IoEvent() { disarm(); }
    IoEvent(const IoEvent &) = delete;
    IoEvent &operator=(const IoEvent &) = delete;

    // Calls owner->*Method(EV_READ | EV_WRITE | EV_CLOSED bits) while `what` holds. Arming again changes `what`.
    template <auto Method, class Owner> void arm(EventLoop &loop, int fd, short what, Owner *owner) {
        disarm();
        event_assign(&event_, loop.raw(), fd, static_cast<short>(what | EV_PERSIST), &trampoline<Method, Owner>, owner);
        if (event_add(&event_, nullptr) != 0) {
            abort();
        }
        interest_ = what;
    }
    void disarm() {
        if (interest_ != 0) {
            event_del(&event_);
            interest_ = 0;
        }
    }
    bool armed() const { return interest_ != 0; }
    short interest() const { return interest_; } // 0: not armed

  private:
    template <auto Method, class Owner> static void trampoline(evutil_socket_t, short what, void *owner) noexcept {
        (static_cast<Owner *>(owner)->*Method)(what);
    }
    struct event event_ {};
    short interest_ = 0;
};

// Calls owner->*Method() after an interval, once or (repeating) until disarmed.
class TimerEvent {
  public:
    TimerEvent() = default;
    ~TimerEvent() { disarm(); }
    TimerEvent(const TimerEvent &) = delete;
    TimerEvent &operator=(const TimerEvent &) = delete;

    template <auto Method, class Owner>
    void arm(EventLoop &loop, std::chrono::microseconds after, Owner *owner, bool repeat = false) {
        disarm();
        event_assign(&event_, loop.raw(), -1, repeat ? EV_PERSIST : 0, &trampoline<Method, Owner>, owner);
        const timeval tv{.tv_sec = static_cast<time_t>(after.count() / 1000000),
                         .tv_usec = static_cast<suseconds_t>(after.count() % 1000000)};
        if (event_add(&event_, &tv) != 0) {
            abort();
        }
        used_ = true;
    }
    void disarm() {
        if (used_) {
            event_del(&event_);
            used_ = false;
        }
    }
    bool pending() const { return used_ && event_pending(&event_, EV_TIMEOUT, nullptr) != 0; }

  private:
    template <auto Method, class Owner> static void trampoline(evutil_socket_t, short, void *owner) noexcept {
        (static_cast<Owner *>(owner)->*Method)();
    }
    struct event event_ {};
    bool used_ = false;
};

// A Unix signal, delivered inside the loop.
class SignalEvent {
  public:
    SignalEvent() = default;
    ~SignalEvent() { disarm(); }
    SignalEvent(const SignalEvent &) = delete;
    SignalEvent &operator=(const SignalEvent &) = delete;

    template <auto Method, class Owner> void arm(EventLoop &loop, int signal, Owner *owner) {
        disarm();
        event_assign(&event_, loop.raw(), signal, EV_SIGNAL | EV_PERSIST, &trampoline<Method, Owner>, owner);
        if (event_add(&event_, nullptr) != 0) {
            abort();
        }
        armed_ = true;
    }
    void disarm() {
        if (armed_) {
            event_del(&event_);
            armed_ = false;
        }
    }

  private:
    template <auto Method, class Owner> static void trampoline(evutil_socket_t signal, short, void *owner) noexcept {
        (static_cast<Owner *>(owner)->*Method)(static_cast<int>(signal));
    }
    struct event event_ {};
    bool armed_ = false;
};

} // namespace pgbalancer
