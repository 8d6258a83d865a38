#include "child/auth_md5.h"

namespace pgbalancer {

namespace {

// md5hex(password user), from what the entry holds; nothing for a verifier or without MD5.
std::optional<SecretText> stored_hash(const Secret &secret, std::string_view user) {
    if (const auto *md5 = std::get_if<Md5Secret>(&secret)) {
        return md5->hex;
    }
    if (const auto *plain = std::get_if<PlainSecret>(&secret)) {
        return md5_hex(plain->password.view(), user);
    }
    return std::nullopt;
}

} // namespace

Result<SecretText> md5_response(const Secret &secret, std::string_view user, const Md5Salt &salt) {
    if (std::holds_alternative<ScramVerifier>(secret)) {
        return Error{"md5 authentication is not possible with a SCRAM-SHA-256 verifier", "28000"};
    }
    const auto stored = stored_hash(secret, user);
    const auto hash =
        stored ? md5_hex(stored->view(), {reinterpret_cast<const char *>(salt.data()), salt.size()}) : std::nullopt;
    if (!hash) {
        return Error{"could not compute MD5 hash: forbidden by OpenSSL's configuration", "XX000"};
    }
    SecretText response("md5");
    response.append(hash->view());
    return response;
}

bool md5_response_matches(const Secret &secret, std::string_view user, const Md5Salt &salt, std::string_view response) {
    const Result<SecretText> expected = md5_response(secret, user, salt);
    return expected && same_bytes(expected->view(), response);
}

} // namespace pgbalancer
