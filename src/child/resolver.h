// resolver.h: from a node's host name to an address, without blocking the loop.
//
// Numeric addresses and socket directories are answered at once; names go to libevent's resolver, which reads
// /etc/hosts and /etc/resolv.conf. Answers are kept for kKeep, so a burst of connections asks once or a few times. One
// per worker.
#pragma once

#include "common/event_loop.h"

#include <chrono>
#include <cstdint>
#include <string>
#include <sys/socket.h>
#include <unordered_map>

struct addrinfo;
struct evdns_base;

namespace pgbalancer {

class ServerConnection;

struct ResolvedAddress {
    sockaddr_storage storage{};
    socklen_t size = 0;
    int family() const { return storage.ss_family; }
};

// Whoever waits for an answer owns one; destroying it withdraws the question. The question itself lives until
// libevent has answered it, withdrawn or not.
class ResolverTicket {
  public:
    ResolverTicket() = default;
    ~ResolverTicket() { cancel(); }
    ResolverTicket(const ResolverTicket &) = delete;
    ResolverTicket &operator=(const ResolverTicket &) = delete;
    void cancel();

  private:
    friend class Resolver;
    struct Question *question_ = nullptr;
};

class Resolver {
  public:
    explicit Resolver(EventLoop &loop) : loop_(loop) {}
    ~Resolver();
    Resolver(const Resolver &) = delete;
    Resolver &operator=(const Resolver &) = delete;

    // Calls asker.on_resolved(address, error), perhaps before it returns.
    void resolve(const std::string &host, uint16_t port, ServerConnection &asker, ResolverTicket &ticket);

  private:
    static constexpr std::chrono::seconds kKeep{10};
    struct Known {
        ResolvedAddress address;
        std::chrono::nanoseconds until;
    };
    static void on_answer(int result, addrinfo *list, void *question) noexcept;

    EventLoop &loop_;
    evdns_base *dns_ = nullptr;
    std::unordered_map<std::string, Known> known_; // "host:port"; as many as there are nodes
};

} // namespace pgbalancer
