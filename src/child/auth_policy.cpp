#include "child/auth_policy.h"

namespace pgbalancer {

namespace {

using Exchange = ClientAuthDecision::Exchange;

std::string quoted(std::string_view user) { return "User \"" + std::string(user) + "\""; }

ClientAuthDecision doomed(Exchange exchange, std::string log_detail) { return {exchange, true, std::move(log_detail)}; }

} // namespace

bool trust_allowed(const PeerAddress &address, bool allow_trust_remote) {
    return allow_trust_remote || address.is_local_socket() || address.is_loopback();
}

ClientAuthDecision decide_client_auth(ClientAuthMethod method, std::string_view user, const Secret *secret) {
    Exchange exchange = Exchange::none;
    switch (method) {
    case ClientAuthMethod::trust: return {Exchange::none, false, {}};
    case ClientAuthMethod::password: exchange = Exchange::cleartext_password; break;
    case ClientAuthMethod::md5: exchange = Exchange::md5_password; break;
    case ClientAuthMethod::scram_sha_256: exchange = Exchange::sasl_scram; break;
    }
    if (secret == nullptr) {
        return doomed(exchange, quoted(user) + " has no entry in pool_passwd.");
    }
    if (exchange == Exchange::sasl_scram && std::holds_alternative<Md5Secret>(*secret)) {
        return doomed(exchange, quoted(user) + " has an md5 entry in pool_passwd, which scram-sha-256 cannot use.");
    }
    if (exchange == Exchange::md5_password && std::holds_alternative<ScramVerifier>(*secret)) {
        exchange = Exchange::sasl_scram;
    }
    return {exchange, false, {}};
}

Status decide_server_auth(ServerAuthRequest request, std::string_view user, const Secret *secret,
                          bool have_client_key) {
    const auto impossible = [&](std::string_view why) {
        return Error{"cannot log in to the server as user \"" + std::string(user) + "\": " + std::string(why), "28000"};
    };
    if (secret == nullptr) {
        return impossible("the server asks for a password and the user has no entry in pool_passwd");
    }
    if (std::holds_alternative<PlainSecret>(*secret)) {
        return Ok{};
    }
    const bool verifier = std::holds_alternative<ScramVerifier>(*secret);
    switch (request) {
    case ServerAuthRequest::cleartext_password:
        return impossible("the server asks for the clear-text password, which the entry in pool_passwd does not hold");
    case ServerAuthRequest::md5_password:
        return verifier ? Status(impossible("the server asks for md5, which a SCRAM-SHA-256 verifier in pool_passwd "
                                            "cannot answer"))
                        : Ok{};
    case ServerAuthRequest::sasl_scram:
        if (!verifier) {
            return impossible("the server asks for SCRAM-SHA-256, which an md5 entry in pool_passwd cannot answer");
        }
        if (!have_client_key) {
            return impossible("the entry in pool_passwd is a SCRAM-SHA-256 verifier and no client has logged in by "
                              "scram-sha-256 or password yet");
        }
        return Ok{};
    }
    return impossible("unknown request");
}

} // namespace pgbalancer
