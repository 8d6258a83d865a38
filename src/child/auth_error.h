// auth_error.h: why a login ended, in PostgreSQL's words.
//
// `sqlstate`, `message` and `detail` go to the peer as a FATAL ErrorResponse; `log_detail` is for the log only,
// because it tells what a stranger must not learn (that a user exists, that the entry is an md5 hash). None of them
// ever contains a secret. They may contain bytes a peer chose.
#pragma once

#include <string>
#include <string_view>

namespace pgbalancer {

struct AuthError {
    std::string sqlstate;
    std::string message;
    std::string detail;     // may be empty
    std::string log_detail; // may be empty
};

// 28P01: the one answer to a wrong password, an unknown user and an unusable entry.
AuthError password_authentication_failed(std::string_view user, std::string log_detail);

// PostgreSQL's bound on a SASL message, and ours on a PasswordMessage: bodies above these are refused before they
// are buffered.
inline constexpr size_t kMaxSaslMessageBytes = 1024;
inline constexpr size_t kMaxPasswordMessageBytes = 65535;

} // namespace pgbalancer
