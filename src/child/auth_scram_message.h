// auth_scram_message.h: the grammar of SCRAM messages, RFC 5802 section 7. Pure; worker process.
//
// Views point into the message given. What a client sends is judged in PostgreSQL's order and words; what a server
// sends, in libpq's. Both are hostile input: every value is bounded and no byte is taken for granted.
#pragma once

#include "child/auth_error.h"
#include "child/auth_secret.h"
#include "common/result.h"

#include <string>
#include <string_view>
#include <variant>

namespace pgbalancer {

// client-first-message = gs2-header client-first-message-bare
struct ClientFirst {
    char cbind_flag = 'n'; // 'n' or 'y'
    std::string_view bare;
    std::string_view nonce;
};
std::variant<ClientFirst, AuthError> parse_client_first(std::string_view message);

// client-final-message, of a login whose first message had `cbind_flag`
struct ClientFinal {
    std::string_view nonce;
    std::string_view without_proof;
    Key proof;
};
std::variant<ClientFinal, AuthError> parse_client_final(std::string_view message, char cbind_flag);

struct ServerFirst {
    std::string_view nonce; // begins with the client's and is longer
    std::string salt;       // raw bytes
    int iterations = 0;     // 1..kMaxScramIterations
};
Result<ServerFirst> parse_server_first(std::string_view message, std::string_view client_nonce);

Result<Key> parse_server_final(std::string_view message); // the server's signature

} // namespace pgbalancer
