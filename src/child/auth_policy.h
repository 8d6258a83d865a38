// auth_policy.h: who is asked for what. Pure functions without I/O, clock or globals; worker process.
#pragma once

#include "child/auth_address.h"
#include "child/auth_secret.h"
#include "config/config.h"

#include <string>

namespace pgbalancer {

// Without HBA rules, `trust` is for loopback and Unix-domain sockets unless the configuration allows more.
bool trust_allowed(const PeerAddress &address, bool allow_trust_remote);

// What to ask a client for, and whether the answer can be right at all. A doomed login is played to its end all the
// same: its answer is password_authentication_failed(user, log_detail).
struct ClientAuthDecision {
    enum class Exchange : uint8_t { none, cleartext_password, md5_password, sasl_scram };
    Exchange exchange = Exchange::none;
    bool doomed = false;
    std::string log_detail; // set when doomed
};

// `secret` null: the user has no entry. As PostgreSQL does: method md5 with a SCRAM verifier becomes SCRAM;
// scram-sha-256 with an md5 entry cannot succeed.
ClientAuthDecision decide_client_auth(ClientAuthMethod method, std::string_view user, const Secret *secret);

// Can we answer what a server asks for? `secret` null: the user has no entry (a client let in by trust).
// `have_client_key`: KeyCache::client_key() of the verifier is not null. The error says what to change in pool_passwd.
enum class ServerAuthRequest : uint8_t { cleartext_password, md5_password, sasl_scram };
Status decide_server_auth(ServerAuthRequest request, std::string_view user, const Secret *secret, bool have_client_key);

} // namespace pgbalancer
