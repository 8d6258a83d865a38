#include "child/auth_scram.h"

#include "child/auth_policy.h"
#include "child/auth_scram_message.h"
#include "common/random.h"

#include <array>
#include <utility>

namespace pgbalancer {

namespace {

constexpr size_t kRawNonceBytes = 18;           // as PostgreSQL's: 24 characters
constexpr int kMinIterationsForPassword = 4096; // RFC 7677, section 4

std::string fresh_nonce() {
    std::array<unsigned char, kRawNonceBytes> raw{};
    random_bytes(raw);
    return base64_encode({reinterpret_cast<const char *>(raw.data()), raw.size()});
}

// AuthMessage of RFC 5802, section 3.
Key signature(const Key &key, std::string_view client_first_bare, std::string_view server_first,
              std::string_view client_final_without_proof) {
    return hmac_sha256(key.view(), {client_first_bare, ",", server_first, ",", client_final_without_proof});
}

AuthError protocol_violation(std::string message) { return {"08P01", std::move(message), {}, {}}; }

} // namespace

ScramServer::ScramServer(std::string_view user, const Secret *secret, KeyCache &cache) : user_(user), cache_(cache) {
    if (secret != nullptr && std::holds_alternative<PlainSecret>(*secret)) {
        verifier_ = cache.verifier_for(user, std::get<PlainSecret>(*secret));
    } else if (secret != nullptr && std::holds_alternative<ScramVerifier>(*secret)) {
        verifier_ = std::get<ScramVerifier>(*secret);
        is_verifier_ = true;
    } else {
        verifier_.salt = cache.salt_for(user);
        verifier_.iterations = kDefaultScramIterations;
        doomed_ = decide_client_auth(ClientAuthMethod::scram_sha_256, user, secret).log_detail;
    }
}

ScramServer::Reply ScramServer::refuse(AuthError error) {
    state_ = State::done;
    return {Outcome::refused, {}, std::move(error)};
}

ScramServer::Reply ScramServer::on_initial_response(std::string_view body) {
    if (state_ != State::initial) {
        return refuse(protocol_violation("unexpected SASL initial response"));
    }
    // As PostgreSQL reads it: a string, a length, that many bytes and no more.
    const size_t end = body.find('\0');
    if (end == std::string_view::npos) {
        return refuse(protocol_violation("invalid string in message"));
    }
    if (body.substr(0, end) != kScramMechanism) {
        return refuse(protocol_violation("client selected an invalid SASL authentication mechanism"));
    }
    body.remove_prefix(end + 1);
    if (body.size() < 4) {
        return refuse(protocol_violation("insufficient data left in message"));
    }
    uint32_t length = 0;
    for (const char c : body.substr(0, 4)) {
        length = length << 8 | static_cast<unsigned char>(c);
    }
    body.remove_prefix(4);
    const bool no_response = length == UINT32_MAX; // -1: the client waits for an empty challenge
    if (!no_response && length > body.size()) {
        return refuse(protocol_violation("insufficient data left in message"));
    }
    if (body.size() != (no_response ? 0 : length)) {
        return refuse(protocol_violation("invalid message format"));
    }
    if (no_response) {
        state_ = State::awaiting_first;
        return {Outcome::challenge, {}, {}};
    }
    return on_client_first(body);
}

ScramServer::Reply ScramServer::on_response(std::string_view body) {
    switch (state_) {
    case State::awaiting_first: return on_client_first(body);
    case State::awaiting_final: return on_client_final(body);
    case State::initial:
    case State::done: break;
    }
    return refuse(protocol_violation("unexpected SASL response"));
}

ScramServer::Reply ScramServer::on_client_first(std::string_view message) {
    auto parsed = parse_client_first(message);
    if (auto *error = std::get_if<AuthError>(&parsed)) {
        return refuse(std::move(*error));
    }
    const auto &first = std::get<ClientFirst>(parsed);
    cbind_flag_ = first.cbind_flag;
    client_first_bare_ = first.bare;
    nonce_ = std::string(first.nonce) + fresh_nonce();
    server_first_ =
        "r=" + nonce_ + ",s=" + base64_encode(verifier_.salt) + ",i=" + std::to_string(verifier_.iterations);
    state_ = State::awaiting_final;
    return {Outcome::challenge, server_first_, {}};
}

ScramServer::Reply ScramServer::on_client_final(std::string_view message) {
    auto parsed = parse_client_final(message, cbind_flag_);
    if (auto *error = std::get_if<AuthError>(&parsed)) {
        return refuse(std::move(*error));
    }
    const auto &final = std::get<ClientFinal>(parsed);
    if (final.nonce != nonce_) {
        return refuse({"08P01", "invalid SCRAM response", "Nonce does not match.", {}});
    }
    const Key client_signature =
        signature(verifier_.stored_key, client_first_bare_, server_first_, final.without_proof);
    const Key client_key = final.proof ^ client_signature;
    const bool proven = same_bytes(sha256(client_key.view()), verifier_.stored_key);
    if (!proven || !doomed_.empty()) {
        return refuse(password_authentication_failed(
            user_, doomed_.empty() ? "Password does not match for user \"" + user_ + "\"." : doomed_));
    }
    if (is_verifier_) {
        cache_.remember_client_key(verifier_, client_key);
    }
    state_ = State::done;
    const Key server_signature =
        signature(verifier_.server_key, client_first_bare_, server_first_, final.without_proof);
    return {Outcome::accepted, "v=" + base64_encode(server_signature.view()), {}};
}

ScramClient::ScramClient(const Secret &secret, KeyCache &cache) : secret_(secret), cache_(cache) {}

Error ScramClient::fail(Error error) {
    state_ = State::failed;
    return error;
}

Result<std::string> ScramClient::on_mechanisms(std::string_view list) {
    if (state_ != State::initial) {
        return fail({"unexpected SASL authentication request", "08P01"});
    }
    bool offered = false;
    while (!list.empty() && list.front() != '\0' && !offered) {
        const size_t end = list.find('\0');
        offered = end != std::string_view::npos && list.substr(0, end) == kScramMechanism;
        list.remove_prefix(end == std::string_view::npos ? list.size() : end + 1);
    }
    if (!offered) {
        return fail({"none of the server's SASL authentication mechanisms are supported", "0A000"});
    }
    nonce_ = fresh_nonce();
    client_first_bare_ = "n=,r=" + nonce_;
    const std::string message = "n,," + client_first_bare_;
    std::string body(kScramMechanism);
    body.append({'\0', '\0', '\0', '\0', static_cast<char>(message.size())});
    static_assert(3 + 5 + kRawNonceBytes / 3 * 4 < 128, "the length fits its last byte");
    state_ = State::awaiting_continue;
    return body + message;
}

Result<ScramKeys> ScramClient::keys_for(std::string_view salt, int iterations) {
    if (const auto *plain = std::get_if<PlainSecret>(&secret_)) {
        if (iterations < kMinIterationsForPassword) {
            return Error{"server asks for " + std::to_string(iterations) + " SCRAM iterations, fewer than the " +
                             std::to_string(kMinIterationsForPassword) +
                             " that protect a clear-text password (put the server's verifier into pool_passwd)",
                         "08P01"};
        }
        return cache_.keys(plain->password.view(), salt, iterations);
    }
    const auto *verifier = std::get_if<ScramVerifier>(&secret_);
    if (verifier == nullptr) {
        return Error{"SCRAM authentication is not possible with an md5 hash", "28000"};
    }
    if (verifier->salt != salt || verifier->iterations != iterations) {
        return Error{"the SCRAM-SHA-256 verifier in pool_passwd is not the server's", "28000"};
    }
    const Key *client_key = cache_.client_key(*verifier);
    if (client_key == nullptr) {
        return Error{"no client has proven its password for this SCRAM-SHA-256 verifier yet", "28000"};
    }
    return ScramKeys{*client_key, verifier->stored_key, verifier->server_key};
}

Result<std::string> ScramClient::on_continue(std::string_view data) {
    if (state_ != State::awaiting_continue) {
        return fail({"unexpected SASL challenge", "08P01"});
    }
    const Result<ServerFirst> first = parse_server_first(data, nonce_);
    if (!first) {
        return fail(first.error());
    }
    const Result<ScramKeys> keys = keys_for(first->salt, first->iterations);
    if (!keys) {
        return fail(keys.error());
    }
    const std::string without_proof = "c=biws,r=" + std::string(first->nonce);
    const Key client_signature = signature(keys->stored_key, client_first_bare_, data, without_proof);
    expected_signature_ = signature(keys->server_key, client_first_bare_, data, without_proof);
    state_ = State::awaiting_final;
    return without_proof + ",p=" + base64_encode((keys->client_key ^ client_signature).view());
}

Status ScramClient::on_final(std::string_view data) {
    if (state_ != State::awaiting_final) {
        return fail({"unexpected SASL outcome", "08P01"});
    }
    const Result<Key> received = parse_server_final(data);
    if (!received) {
        return fail(received.error());
    }
    if (!same_bytes(*received, expected_signature_)) {
        return fail({"incorrect server signature", "28000"});
    }
    state_ = State::verified;
    return Ok{};
}

} // namespace pgbalancer
