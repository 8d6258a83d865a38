#include "child/auth_password.h"

#include "child/auth_saslprep.h"

namespace pgbalancer {

namespace {

bool matches_md5(const Md5Secret &secret, std::string_view user, std::string_view password) {
    const auto hash = md5_hex(password, user);
    return hash && same_bytes(hash->view(), secret.hex.view());
}

// Compared after SASLprep, so that a password is right or wrong whichever method asks for it; as digests, so that
// time does not tell the length.
bool matches_plain(const PlainSecret &secret, std::string_view password) {
    return same_bytes(sha256(saslprep(secret.password.view()).view()), sha256(saslprep(password).view()));
}

} // namespace

std::variant<std::string_view, AuthError> read_password_message(std::string_view body) {
    // One string with its NUL and nothing behind it.
    if (body.empty() || body.find('\0') != body.size() - 1) {
        return AuthError{"08P01", "invalid password packet size", {}, {}};
    }
    body.remove_suffix(1);
    if (body.empty()) {
        return AuthError{"28P01", "empty password returned by client", {}, {}};
    }
    return body;
}

bool password_matches(const Secret &secret, std::string_view user, std::string_view password, KeyCache &cache) {
    if (password.empty()) {
        return false;
    }
    if (const auto *plain = std::get_if<PlainSecret>(&secret)) {
        return matches_plain(*plain, password);
    }
    if (const auto *md5 = std::get_if<Md5Secret>(&secret)) {
        return matches_md5(*md5, user, password);
    }
    return cache.matches(std::get<ScramVerifier>(secret), password);
}

} // namespace pgbalancer
