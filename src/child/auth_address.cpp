#include "child/auth_address.h"

#include <algorithm>
#include <arpa/inet.h>
#include <cstddef>
#include <cstring>
#include <netinet/in.h>

namespace pgbalancer {

namespace {

constexpr std::array<unsigned char, 12> kMappedPrefix{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF};

PeerAddress make(PeerAddress::Family family, const void *bytes, size_t size) {
    PeerAddress out;
    out.family = family;
    memcpy(out.bytes.data(), bytes, size);
    return out;
}

PeerAddress from_ipv6(const in6_addr &address) {
    if (memcmp(address.s6_addr, kMappedPrefix.data(), kMappedPrefix.size()) == 0) {
        return make(PeerAddress::Family::ipv4, address.s6_addr + kMappedPrefix.size(), 4);
    }
    return make(PeerAddress::Family::ipv6, address.s6_addr, 16);
}

} // namespace

std::optional<PeerAddress> PeerAddress::from_sockaddr(const sockaddr *address, socklen_t size) {
    if (address == nullptr || size < offsetof(sockaddr, sa_data)) {
        return std::nullopt;
    }
    if (address->sa_family == AF_UNIX) {
        return PeerAddress{};
    }
    if (address->sa_family == AF_INET && size >= sizeof(sockaddr_in)) {
        sockaddr_in in{};
        memcpy(&in, address, sizeof in);
        return make(Family::ipv4, &in.sin_addr, 4);
    }
    if (address->sa_family == AF_INET6 && size >= sizeof(sockaddr_in6)) {
        sockaddr_in6 in6{};
        memcpy(&in6, address, sizeof in6);
        return from_ipv6(in6.sin6_addr);
    }
    return std::nullopt;
}

std::optional<PeerAddress> PeerAddress::from_text(std::string_view text) {
    if (text.size() >= INET6_ADDRSTRLEN || text.find('\0') != std::string_view::npos) {
        return std::nullopt;
    }
    const std::string terminated(text);
    in_addr in{};
    if (inet_pton(AF_INET, terminated.c_str(), &in) == 1) {
        return make(Family::ipv4, &in, 4);
    }
    in6_addr in6{};
    if (inet_pton(AF_INET6, terminated.c_str(), &in6) == 1) {
        return from_ipv6(in6);
    }
    return std::nullopt;
}

bool PeerAddress::is_loopback() const {
    if (family == Family::ipv4) {
        return bytes[0] == 127;
    }
    return family == Family::ipv6 && bytes[15] == 1 &&
           std::all_of(bytes.begin(), bytes.end() - 1, [](unsigned char b) { return b == 0; });
}

std::string PeerAddress::text() const {
    char out[INET6_ADDRSTRLEN] = "[local]";
    if (family != Family::local) {
        inet_ntop(family == Family::ipv4 ? AF_INET : AF_INET6, bytes.data(), out, sizeof out);
    }
    return out;
}

} // namespace pgbalancer
