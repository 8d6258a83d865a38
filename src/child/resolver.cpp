#include "child/resolver.h"

#include "child/server_connection.h"
#include "common/clock.h"

#include <cstring>
#include <event2/dns.h>
#include <event2/util.h>
#include <memory>
#include <netdb.h>
#include <sys/un.h>
#include <utility>

namespace pgbalancer {

struct Question {
    Resolver *resolver;
    ServerConnection *asker;
    ResolverTicket *ticket; // null once withdrawn
    std::string key;
    evdns_getaddrinfo_request *request = nullptr;
};

namespace {

bool socket_directory(const std::string &host, uint16_t port, ResolvedAddress &out) {
    auto &address = reinterpret_cast<sockaddr_un &>(out.storage);
    const std::string path = host + "/.s.PGSQL." + std::to_string(port);
    if (path.size() >= sizeof address.sun_path) {
        return false;
    }
    address.sun_family = AF_UNIX;
    memcpy(address.sun_path, path.c_str(), path.size() + 1);
    out.size = sizeof address;
    return true;
}

bool numeric(const std::string &host, uint16_t port, ResolvedAddress &out) {
    addrinfo hints{};
    hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV;
    hints.ai_socktype = SOCK_STREAM;
    addrinfo *list = nullptr;
    if (getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &list) != 0) {
        return false;
    }
    memcpy(&out.storage, list->ai_addr, list->ai_addrlen);
    out.size = list->ai_addrlen;
    freeaddrinfo(list);
    return true;
}

} // namespace

void ResolverTicket::cancel() {
    if (Question *question = std::exchange(question_, nullptr)) {
        question->ticket = nullptr;
        if (question->request != nullptr) {
            evdns_getaddrinfo_cancel(question->request); // answered with EVUTIL_EAI_CANCEL
        }
    }
}

void Resolver::on_answer(int result, addrinfo *list, void *opaque) noexcept {
    const std::unique_ptr<Question> question(static_cast<Question *>(opaque));
    if (question->ticket != nullptr) {
        question->ticket->question_ = nullptr;
        if (result == 0 && list != nullptr && list->ai_addrlen <= sizeof(sockaddr_storage)) {
            ResolvedAddress address;
            memcpy(&address.storage, list->ai_addr, list->ai_addrlen);
            address.size = list->ai_addrlen;
            question->resolver->known_[question->key] = {address, monotonic_now() + kKeep};
            question->asker->on_resolved(&address, {});
        } else {
            question->asker->on_resolved(nullptr,
                                         "could not translate host name: " + std::string(evutil_gai_strerror(result)));
        }
    }
    if (list != nullptr) {
        evutil_freeaddrinfo(list);
    }
}

Resolver::~Resolver() {
    if (dns_ != nullptr) {
        evdns_base_free(dns_, 0);
    }
}

void Resolver::resolve(const std::string &host, uint16_t port, ServerConnection &asker, ResolverTicket &ticket) {
    ResolvedAddress address;
    if (host.starts_with('/')) {
        if (socket_directory(host, port, address)) {
            asker.on_resolved(&address, {});
        } else {
            asker.on_resolved(nullptr, "socket path too long: " + host);
        }
        return;
    }
    if (numeric(host, port, address)) {
        asker.on_resolved(&address, {});
        return;
    }
    std::string key = host + ":" + std::to_string(port);
    const auto known = known_.find(key);
    if (known != known_.end() && known->second.until > monotonic_now()) {
        address = known->second.address;
        asker.on_resolved(&address, {});
        return;
    }
    if (dns_ == nullptr) {
        dns_ = evdns_base_new(loop_.raw(), 0);
        if (dns_ == nullptr) {
            asker.on_resolved(nullptr, "no resolver for host name " + host);
            return;
        }
        // Failing to read either file leaves a resolver that answers with an error, which is what we would say.
        evdns_base_resolv_conf_parse(dns_, DNS_OPTIONS_ALL, "/etc/resolv.conf");
    }
    evutil_addrinfo hints{};
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = EVUTIL_AI_NUMERICSERV;
    hints.ai_family = AF_UNSPEC;
    auto *question = new Question{this, &asker, &ticket, std::move(key)};
    ticket.question_ = question;
    evdns_getaddrinfo_request *request =
        evdns_getaddrinfo(dns_, host.c_str(), std::to_string(port).c_str(), &hints, &on_answer, question);
    if (ticket.question_ == question) { // else it was answered already, and the question is gone
        question->request = request;
    }
}

} // namespace pgbalancer
