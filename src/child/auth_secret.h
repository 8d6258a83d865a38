// auth_secret.h: what pool_passwd knows about one user's password, and the reading of its notation.
//
// Values, wiped on destruction. Worker process (and `check`, to validate the file). No I/O.
// Notations: `TEXTsecret` and, as in pgpool, anything without a known prefix: clear text. `md5` + 32 lower-case
// hexadecimal digits: md5(password user). `SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>`: PostgreSQL's
// pg_authid.rolpassword. `AES…` (pgpool's encryption with a key file) is refused with an explanation.
#pragma once

#include "child/auth_crypto.h"
#include "common/result.h"

#include <string>
#include <string_view>
#include <variant>

namespace pgbalancer {

// RFC 7677 asks for 4096 at least and PostgreSQL's default is that; the upper bound keeps a hostile server, or a slip
// in pool_passwd, from holding up the loop for longer than about a quarter of a second (once: derivations are cached).
inline constexpr int kDefaultScramIterations = 4096;
inline constexpr int kMaxScramIterations = 1000000;
inline constexpr size_t kScramSaltBytes = 16;     // of the salts made here, as PostgreSQL's
inline constexpr size_t kMaxScramSaltBytes = 256; // of the salts accepted

struct PlainSecret {
    SecretText password; // never empty
};

struct Md5Secret {
    SecretText hex; // 32 digits, without the "md5"
};

// RFC 5802, section 3. Knowing it lets one verify a client and impersonate the server, but not log in elsewhere.
struct ScramVerifier {
    int iterations = 0;
    std::string salt; // raw bytes
    Key stored_key;
    Key server_key;
};

using Secret = std::variant<PlainSecret, Md5Secret, ScramVerifier>;

// The error's message never quotes the text.
Result<Secret> parse_secret(std::string_view text);

// pg_authid's notation.
std::string format_verifier(const ScramVerifier &verifier);

} // namespace pgbalancer
