// startup.h: the first packet of a client connection (manual: Message Flow, Start-up; Cancelling
// Requests; SSL Session Encryption). Pure. The packet has no type byte; its length is bounded as
// PostgreSQL bounds it (MAX_STARTUP_PACKET_LENGTH), before anything else is believed.
#pragma once

#include "common/result.h"

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace pgbalancer {

constexpr uint32_t kMaxStartupBytes = 10000;

struct EncryptionRequest {}; // SSLRequest or GSSENCRequest
struct CancelRequest {
    uint32_t pid;
    uint32_t secret;
};
struct StartupMessage {
    uint16_t minor = 0; // of protocol 3
    std::string user;
    std::string database;
    bool replication = false;      // the connection is a walsender: passed through
    std::string replication_value; // as the client gave it
    // Everything else in the order sent: settings, and what `options` said as settings.
    std::vector<std::pair<std::string, std::string>> settings;
    std::string raw_options;                           // for a replication connection
    std::vector<std::string> unknown_protocol_options; // `_pq_.*`: answered with NegotiateProtocolVersion
};
using FirstPacket = std::variant<EncryptionRequest, CancelRequest, StartupMessage>;

// Length of the packet beginning at `bytes` (at least 4 of them), checked; includes itself.
Result<uint32_t> startup_length(std::string_view bytes);
// Reads a whole packet, length word included.
Result<FirstPacket> read_first_packet(std::string_view packet);
// Splits `options` as PostgreSQL does (pg_split_opts: blanks separate, a backslash escapes) and reads
// "-c name=value" and "--name=value". Anything else is an error: it could not be given to a pooled connection.
Result<std::vector<std::pair<std::string, std::string>>> read_options(std::string_view options);

} // namespace pgbalancer
