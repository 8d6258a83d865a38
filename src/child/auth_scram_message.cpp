#include "child/auth_scram_message.h"

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <optional>

namespace pgbalancer {

namespace {

constexpr std::string_view kProtocolViolation = "08P01";

AuthError malformed(std::string detail) {
    return {std::string(kProtocolViolation), "malformed SCRAM message", std::move(detail), {}};
}

Error malformed_from_server(const std::string &what) {
    return {"malformed SCRAM message (" + what + ")", std::string(kProtocolViolation)};
}

bool printable(std::string_view text) {
    return std::all_of(text.begin(), text.end(), [](char c) { return c >= 0x21 && c <= 0x7E && c != ','; });
}

// A character as PostgreSQL shows it; the end of the message is shown as its C string's NUL.
std::string shown(std::string_view rest) {
    const unsigned char c = rest.empty() ? '\0' : static_cast<unsigned char>(rest.front());
    if (c >= 0x21 && c <= 0x7E) {
        return {'\'', static_cast<char>(c), '\''};
    }
    char out[5];
    snprintf(out, sizeof out, "0x%02x", c);
    return out;
}

bool at(std::string_view rest, char c) { return !rest.empty() && rest.front() == c; }

// The value up to the next comma or the end; the comma is taken, too.
std::string_view take_value(std::string_view &rest) {
    const size_t comma = rest.find(',');
    const std::string_view value = rest.substr(0, comma);
    rest.remove_prefix(comma == std::string_view::npos ? rest.size() : comma + 1);
    return value;
}

// attribute "=" value [","], of a client. Fills `error` and returns an empty value if it is not there.
std::string_view take_attribute(std::string_view &rest, char attribute, std::optional<AuthError> &error) {
    if (error) {
        return {};
    }
    if (!at(rest, attribute)) {
        error = malformed(std::string("Expected attribute \"") + attribute + "\" but found \"" + shown(rest) + "\".");
        return {};
    }
    rest.remove_prefix(1);
    if (!at(rest, '=')) {
        error = malformed(std::string("Expected character \"=\" for attribute \"") + attribute + "\".");
        return {};
    }
    rest.remove_prefix(1);
    return take_value(rest);
}

// As above, whichever attribute comes; `attribute` receives its letter.
std::string_view take_any(std::string_view &rest, char &attribute, std::optional<AuthError> &error) {
    attribute = '\0';
    if (error) {
        return {};
    }
    if (rest.empty()) {
        error = malformed("Attribute expected, but found end of string.");
        return {};
    }
    const char c = rest.front();
    if (!((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z'))) {
        error = malformed("Attribute expected, but found invalid character \"" + shown(rest) + "\".");
        return {};
    }
    attribute = c;
    return take_attribute(rest, c, error);
}

std::optional<AuthError> check_shape(std::string_view message) {
    if (message.empty()) {
        return malformed("The message is empty.");
    }
    if (message.size() > kMaxSaslMessageBytes) {
        return malformed("The message is too long.");
    }
    if (message.find('\0') != std::string_view::npos) {
        return malformed("Message length does not match input length.");
    }
    return std::nullopt;
}

// Takes gs2-header: "n,," or "y,,".
std::optional<AuthError> take_gs2_header(std::string_view &rest, char &cbind_flag) {
    cbind_flag = rest.front();
    if (cbind_flag == 'p') {
        return malformed("The client selected SCRAM-SHA-256 without channel binding, but the SCRAM message includes "
                         "channel binding data.");
    }
    if (cbind_flag != 'n' && cbind_flag != 'y') {
        return malformed("Unexpected channel-binding flag \"" + shown(rest) + "\".");
    }
    rest.remove_prefix(1);
    if (!at(rest, ',')) {
        return malformed("Comma expected, but found character \"" + shown(rest) + "\".");
    }
    rest.remove_prefix(1);
    if (at(rest, 'a')) {
        return AuthError{"0A000", "client uses authorization identity, but it is not supported", {}, {}};
    }
    if (!at(rest, ',')) {
        return malformed("Unexpected attribute \"" + shown(rest) + "\" in client-first-message.");
    }
    rest.remove_prefix(1);
    return std::nullopt;
}

// attribute "=" value of a server; the caller checks what may follow.
std::optional<std::string_view> take_server_attribute(std::string_view &rest, char attribute) {
    if (rest.size() < 2 || rest[0] != attribute || rest[1] != '=') {
        return std::nullopt;
    }
    rest.remove_prefix(2);
    return take_value(rest);
}

std::optional<Error> check_server_shape(std::string_view message) {
    if (message.empty()) {
        return malformed_from_server("empty message");
    }
    if (message.size() > kMaxSaslMessageBytes) {
        return malformed_from_server("message too long");
    }
    if (message.find('\0') != std::string_view::npos) {
        return malformed_from_server("length mismatch");
    }
    return std::nullopt;
}

} // namespace

std::variant<ClientFirst, AuthError> parse_client_first(std::string_view message) {
    std::optional<AuthError> error = check_shape(message);
    ClientFirst first;
    std::string_view rest = message;
    if (!error) {
        error = take_gs2_header(rest, first.cbind_flag);
    }
    if (error) {
        return *error;
    }
    first.bare = rest;
    if (at(rest, 'm')) {
        return AuthError{"0A000", "client requires an unsupported SCRAM extension", {}, {}};
    }
    take_attribute(rest, 'n', error); // the user's name is the startup packet's; libpq leaves this empty
    first.nonce = take_attribute(rest, 'r', error);
    if (!error && !printable(first.nonce)) {
        error = AuthError{std::string(kProtocolViolation), "non-printable characters in SCRAM nonce", {}, {}};
    }
    while (!error && !rest.empty()) {
        char ignored;
        take_any(rest, ignored, error);
    }
    if (error) {
        return *error;
    }
    return first;
}

std::variant<ClientFinal, AuthError> parse_client_final(std::string_view message, char cbind_flag) {
    std::optional<AuthError> error = check_shape(message);
    ClientFinal final;
    std::string_view rest = message;
    const std::string_view binding = take_attribute(rest, 'c', error);
    // base64 of the gs2-header, which must be the one of the first message: "n,," or "y,,"
    if (!error && binding != (cbind_flag == 'y' ? "eSws" : "biws")) {
        error = AuthError{std::string(kProtocolViolation),
                          "unexpected SCRAM channel-binding attribute in client-final-message",
                          {},
                          {}};
    }
    final.nonce = take_attribute(rest, 'r', error);
    std::string_view proof;
    char attribute = '\0';
    while (!error && attribute != 'p') {
        // What is signed ends before the comma before "p=".
        final.without_proof = message.substr(0, message.size() - rest.size());
        proof = take_any(rest, attribute, error);
    }
    if (error) {
        return *error;
    }
    final.without_proof.remove_suffix(1);
    const auto key = base64_decode_key(proof);
    if (!key) {
        return malformed("Malformed proof in client-final-message.");
    }
    if (!rest.empty()) {
        return malformed("Garbage found at the end of client-final-message.");
    }
    final.proof = *key;
    return final;
}

Result<ServerFirst> parse_server_first(std::string_view message, std::string_view client_nonce) {
    if (const auto error = check_server_shape(message)) {
        return *error;
    }
    std::string_view rest = message;
    if (at(rest, 'm')) {
        return Error{"server requires an unsupported SCRAM extension", std::string(kProtocolViolation)};
    }
    const auto nonce = take_server_attribute(rest, 'r');
    if (!nonce) {
        return malformed_from_server("attribute \"r\" expected");
    }
    if (!nonce->starts_with(client_nonce) || nonce->size() == client_nonce.size() || !printable(*nonce)) {
        return Error{"invalid SCRAM response (nonce mismatch)", std::string(kProtocolViolation)};
    }
    ServerFirst first;
    first.nonce = *nonce;
    const auto salt = take_server_attribute(rest, 's');
    auto salt_bytes = salt ? base64_decode(*salt) : std::nullopt;
    if (!salt_bytes || salt_bytes->empty() || salt_bytes->size() > kMaxScramSaltBytes) {
        return malformed_from_server("invalid salt");
    }
    first.salt = std::move(*salt_bytes);
    const auto iterations = take_server_attribute(rest, 'i');
    if (!iterations) {
        return malformed_from_server("attribute \"i\" expected");
    }
    const char *end = iterations->data() + iterations->size();
    const auto [parsed, code] = std::from_chars(iterations->data(), end, first.iterations);
    if (code == std::errc::result_out_of_range || (code == std::errc() && first.iterations > kMaxScramIterations)) {
        return Error{"server asks for more than " + std::to_string(kMaxScramIterations) + " SCRAM iterations",
                     std::string(kProtocolViolation)};
    }
    if (code != std::errc() || parsed != end || first.iterations < 1) {
        return malformed_from_server("invalid iteration count");
    }
    if (!rest.empty() || message.ends_with(',')) {
        return malformed_from_server("garbage at end of server-first-message");
    }
    return first;
}

Result<Key> parse_server_final(std::string_view message) {
    if (const auto error = check_server_shape(message)) {
        return *error;
    }
    std::string_view rest = message;
    if (const auto refusal = take_server_attribute(rest, 'e')) {
        return Error{"error received from server in SCRAM exchange: " + std::string(*refusal), "28P01"};
    }
    const auto signature = take_server_attribute(rest, 'v');
    const auto key = signature ? base64_decode_key(*signature) : std::nullopt;
    if (!key) {
        return malformed_from_server("invalid server signature");
    }
    if (!rest.empty() || message.ends_with(',')) {
        return malformed_from_server("garbage at end of server-final-message");
    }
    return *key;
}

} // namespace pgbalancer
