// auth_md5.h: AuthenticationMD5Password, both sides. Pure; worker process.
//
// The response is "md5" + md5hex(md5hex(password user) salt), PostgreSQL manual "Password Authentication".
#pragma once

#include "child/auth_secret.h"
#include "common/result.h"

#include <array>
#include <string>
#include <string_view>

namespace pgbalancer {

using Md5Salt = std::array<unsigned char, 4>; // random per exchange

// What a PasswordMessage answering `salt` must contain. Fails for a SCRAM verifier, and where OpenSSL's policy
// forbids MD5. The answer is a secret for as long as the salt is in use.
Result<SecretText> md5_response(const Secret &secret, std::string_view user, const Md5Salt &salt);

// Constant time. False too where md5_response() fails.
bool md5_response_matches(const Secret &secret, std::string_view user, const Md5Salt &salt, std::string_view response);

} // namespace pgbalancer
