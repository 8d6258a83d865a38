// auth_address.h: where a client comes from, as authentication sees it. A value; any process.
//
// An IPv4 address mapped into IPv6 (::ffff:a.b.c.d) is an IPv4 address here, so that no rule can be dodged by the kind
// of socket.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <sys/socket.h>

namespace pgbalancer {

struct PeerAddress {
    enum class Family : uint8_t { local, ipv4, ipv6 }; // local: a Unix-domain socket
    Family family = Family::local;
    std::array<unsigned char, 16> bytes{}; // network order; the first 4 for IPv4

    // From accept(2) or getpeername(2). Nothing for another family or a short address.
    static std::optional<PeerAddress> from_sockaddr(const sockaddr *address, socklen_t size);
    // A numeric address, nothing else: no names are resolved.
    static std::optional<PeerAddress> from_text(std::string_view text);

    bool is_local_socket() const { return family == Family::local; }
    bool is_loopback() const; // 127.0.0.0/8, ::1
    // Bits of an address of this family: 32 or 128; 0 for local.
    int width() const { return family == Family::ipv4 ? 32 : family == Family::ipv6 ? 128 : 0; }
    std::string text() const; // "[local]" for a Unix-domain socket, as in PostgreSQL's messages

    bool operator==(const PeerAddress &) const = default;
};

} // namespace pgbalancer
