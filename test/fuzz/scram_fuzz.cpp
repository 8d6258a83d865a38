// SCRAM messages of hostile peers: no message crashes a login, and none wins it.
//
// The first byte chooses the side, the lines after it are the peer's messages. {N} stands for the nonce of the login,
// which a peer learns and a fuzzer cannot guess. Entries are verifiers of two iterations, so that nothing is slow.
#include "child/auth_scram.h"
#include "child/auth_scram_message.h"

#include <cstdlib>
#include <vector>

namespace {

using namespace pgbalancer;

constexpr char kSalt[] = "0123456789abcdef";

// Made once: a derivation for each input would be most of the run.
struct Fixture {
    KeyCache cache{Key()};
    Secret secret;
    Fixture() {
        const ScramKeys keys = derive_scram_keys("pencil", kSalt, 2);
        ScramVerifier verifier;
        verifier.iterations = 2;
        verifier.salt = kSalt;
        verifier.stored_key = keys.stored_key;
        verifier.server_key = keys.server_key;
        cache.remember_client_key(verifier, keys.client_key);
        secret = verifier;
    }
};

std::vector<std::string> lines(std::string_view text) {
    std::vector<std::string> out;
    while (!text.empty()) {
        const size_t end = text.find('\n');
        out.emplace_back(text.substr(0, end));
        text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    }
    return out;
}

std::string with_nonce(std::string text, std::string_view message) {
    const size_t start = message.find("r=");
    const std::string_view rest = start == std::string_view::npos ? "" : message.substr(start + 2);
    const size_t at = text.find("{N}");
    if (at != std::string::npos) {
        text.replace(at, 3, rest.substr(0, rest.find(',')));
    }
    return text;
}

void attack_server(Fixture &fixture, const std::vector<std::string> &messages) {
    ScramServer server("alice", &fixture.secret, fixture.cache);
    std::string challenge;
    for (size_t i = 0; i < messages.size(); i++) {
        const std::string message = with_nonce(messages[i], challenge);
        ScramServer::Reply reply = i == 0 ? server.on_initial_response(message) : server.on_response(message);
        if (reply.outcome == ScramServer::Outcome::accepted) {
            abort(); // without the password
        }
        if (reply.outcome == ScramServer::Outcome::refused &&
            (reply.error.sqlstate.size() != 5 || reply.error.message.empty() || !reply.data.empty())) {
            abort();
        }
        challenge = reply.data.empty() ? challenge : reply.data;
    }
}

void attack_client(Fixture &fixture, const std::vector<std::string> &messages) {
    ScramClient client(fixture.secret, fixture.cache);
    std::string first;
    for (size_t i = 0; i < messages.size(); i++) {
        if (i == 0) {
            const auto body = client.on_mechanisms(messages[i] + std::string("\0SCRAM-SHA-256\0", 15));
            first = body ? *body : "";
        } else if (i % 2 == 1) {
            const auto answer = client.on_continue(with_nonce(messages[i], first));
            if (answer && answer->size() > 2 * kMaxSaslMessageBytes) {
                abort();
            }
        } else if (client.on_final(messages[i])) {
            abort(); // without the server's key
        }
    }
    if (client.server_verified()) {
        abort();
    }
}

// What is accepted is within the message and within its bounds.
void parse(std::string_view message) {
    const auto first = parse_client_first(message);
    if (const auto *parsed = std::get_if<ClientFirst>(&first)) {
        if (!message.ends_with(parsed->bare) || parsed->nonce.size() > message.size()) {
            abort();
        }
    }
    const auto final = parse_client_final(message, 'n');
    if (const auto *parsed = std::get_if<ClientFinal>(&final)) {
        if (!message.starts_with(parsed->without_proof) || parsed->without_proof.size() >= message.size()) {
            abort();
        }
    }
    const auto server_first = parse_server_first(message, "abc");
    if (server_first &&
        (server_first->iterations < 1 || server_first->iterations > kMaxScramIterations || server_first->salt.empty() ||
         server_first->salt.size() > kMaxScramSaltBytes || !server_first->nonce.starts_with("abc"))) {
        abort();
    }
    static_cast<void>(static_cast<bool>(parse_server_final(message)));
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static Fixture fixture;
    if (size == 0) {
        return 0;
    }
    const std::string_view text(reinterpret_cast<const char *>(data) + 1, size - 1);
    switch (data[0]) {
    case 'S': attack_server(fixture, lines(text)); break;
    case 'C': attack_client(fixture, lines(text)); break;
    default: parse(text); break;
    }
    return 0;
}
