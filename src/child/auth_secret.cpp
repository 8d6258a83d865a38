#include "child/auth_secret.h"

#include <charconv>

namespace pgbalancer {

namespace {

constexpr std::string_view kVerifierPrefix = "SCRAM-SHA-256$";

bool lower_hex(std::string_view text) { return text.find_first_not_of("0123456789abcdef") == std::string_view::npos; }

// Takes what comes before `separator`; nothing if there is none.
std::optional<std::string_view> take(std::string_view &text, char separator) {
    const size_t at = text.find(separator);
    if (at == std::string_view::npos) {
        return std::nullopt;
    }
    const std::string_view head = text.substr(0, at);
    text.remove_prefix(at + 1);
    return head;
}

Result<Secret> parse_verifier(std::string_view rest) {
    const Error malformed{"malformed SCRAM-SHA-256 verifier: expected "
                          "SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey> (write TEXT before a clear-text "
                          "password that begins like one)",
                          ""};
    const auto iterations = take(rest, ':');
    const auto salt = take(rest, '$');
    const auto stored = take(rest, ':');
    if (!iterations || !salt || !stored) {
        return malformed;
    }
    ScramVerifier verifier;
    const char *end = iterations->data() + iterations->size();
    const auto [parsed, code] = std::from_chars(iterations->data(), end, verifier.iterations);
    if (code == std::errc::result_out_of_range || (code == std::errc() && verifier.iterations > kMaxScramIterations)) {
        return Error{"SCRAM-SHA-256 verifier with more than " + std::to_string(kMaxScramIterations) + " iterations",
                     ""};
    }
    const auto salt_bytes = base64_decode(*salt);
    const auto stored_key = base64_decode_key(*stored);
    const auto server_key = base64_decode_key(rest);
    if (code != std::errc() || parsed != end || verifier.iterations < 1 || !salt_bytes || salt_bytes->empty() ||
        salt_bytes->size() > kMaxScramSaltBytes || !stored_key || !server_key) {
        return malformed;
    }
    verifier.salt = *salt_bytes;
    verifier.stored_key = *stored_key;
    verifier.server_key = *server_key;
    return Secret(verifier);
}

Result<Secret> plain(std::string_view password) {
    if (password.empty()) {
        return Error{"empty password", ""};
    }
    return Secret(PlainSecret{SecretText(password)});
}

} // namespace

Result<Secret> parse_secret(std::string_view text) {
    if (text.starts_with("TEXT")) {
        return plain(text.substr(4));
    }
    if (text.starts_with(kVerifierPrefix)) {
        return parse_verifier(text.substr(kVerifierPrefix.size()));
    }
    if (text.starts_with("AES")) {
        return Error{"AES-encrypted passwords are not supported: use a SCRAM-SHA-256 verifier (write TEXT before a "
                     "clear-text password that begins with AES)",
                     ""};
    }
    if (text.starts_with("md5") && text.size() == 3 + 32) {
        if (!lower_hex(text.substr(3))) {
            return Error{
                "malformed md5 hash: expected 32 lower-case hexadecimal digits (write TEXT before a clear-text "
                "password that begins with md5)",
                ""};
        }
        return Secret(Md5Secret{SecretText(text.substr(3))});
    }
    return plain(text);
}

std::string format_verifier(const ScramVerifier &verifier) {
    return std::string(kVerifierPrefix) + std::to_string(verifier.iterations) + ":" + base64_encode(verifier.salt) +
           "$" + base64_encode(verifier.stored_key.view()) + ":" + base64_encode(verifier.server_key.view());
}

} // namespace pgbalancer
