// auth_password.h: PasswordMessage bodies and the check of a clear-text password. Pure; worker process.
#pragma once

#include "child/auth_error.h"
#include "child/auth_key_cache.h"

#include <string_view>
#include <variant>

namespace pgbalancer {

// The text of a PasswordMessage, a view into `body`; or what PostgreSQL says to a wrong size (08P01) or an empty
// password (28P01).
std::variant<std::string_view, AuthError> read_password_message(std::string_view body);

// Against any kind of secret. Time does not depend on where the two differ. For a SCRAM verifier a password seen for
// the first time costs a key derivation.
bool password_matches(const Secret &secret, std::string_view user, std::string_view password, KeyCache &cache);

} // namespace pgbalancer
