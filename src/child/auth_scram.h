// auth_scram.h: SCRAM-SHA-256 (RFC 5802, RFC 7677) as two state machines, towards clients and towards servers.
//
// Pure: messages in, messages out; one object per login, owned by the session or the server connection. Worker
// process, single-threaded. Bodies are those of the PostgreSQL messages, without type byte and length word; nothing
// in them is trusted. Without TLS there is no channel binding. Messages may hold no more than kMaxSaslMessageBytes.
#pragma once

#include "child/auth_error.h"
#include "child/auth_key_cache.h"

#include <optional>
#include <string>
#include <string_view>

namespace pgbalancer {

inline constexpr std::string_view kScramMechanism = "SCRAM-SHA-256";

// Towards a client: we are the server.
class ScramServer {
  public:
    enum class Outcome : uint8_t {
        challenge, // send AuthenticationSASLContinue with `data`, wait for the next SASLResponse
        accepted,  // send AuthenticationSASLFinal with `data`, then AuthenticationOk
        refused,   // send `error` as FATAL and close
    };
    struct Reply {
        Outcome outcome;
        std::string data;
        AuthError error;
    };

    // `secret` null (unknown user) or md5: the exchange is played to its end and refused, with a salt that does not
    // tell. Copies what it needs: the table may be replaced meanwhile. `cache` must outlive the object.
    ScramServer(std::string_view user, const Secret *secret, KeyCache &cache);

    // Body of SASLInitialResponse: mechanism, length, client-first-message.
    Reply on_initial_response(std::string_view body);
    // Body of SASLResponse.
    Reply on_response(std::string_view body);

    // After `accepted` the recovered ClientKey is in the cache (KeyCache::client_key) when the secret is a verifier.

  private:
    enum class State : uint8_t { initial, awaiting_first, awaiting_final, done };

    Reply on_client_first(std::string_view message);
    Reply on_client_final(std::string_view message);
    Reply refuse(AuthError error);

    std::string user_;
    ScramVerifier verifier_;
    std::string doomed_; // why this login cannot succeed, for the log; empty if it can
    bool is_verifier_ = false;
    KeyCache &cache_;
    State state_ = State::initial;
    char cbind_flag_ = 0;
    std::string client_first_bare_;
    std::string server_first_;
    std::string nonce_; // the client's and ours
};

// Towards a server: we are the client.
class ScramClient {
  public:
    // `secret`: clear text, or a verifier whose ClientKey is in the cache (see decide_server_auth). Copied. `cache`
    // must outlive the object.
    ScramClient(const Secret &secret, KeyCache &cache);

    // From the body of AuthenticationSASL after its code: the list of mechanisms. Returns the body of
    // SASLInitialResponse.
    Result<std::string> on_mechanisms(std::string_view list);
    // From AuthenticationSASLContinue; returns the body of SASLResponse.
    Result<std::string> on_continue(std::string_view data);
    // From AuthenticationSASLFinal: is this really a server that knows the password?
    Status on_final(std::string_view data);
    // AuthenticationOk is to be believed only if this is true.
    bool server_verified() const { return state_ == State::verified; }

  private:
    enum class State : uint8_t { initial, awaiting_continue, awaiting_final, verified, failed };

    Error fail(Error error);
    Result<ScramKeys> keys_for(std::string_view salt, int iterations);

    Secret secret_;
    KeyCache &cache_;
    State state_ = State::initial;
    std::string nonce_; // ours
    std::string client_first_bare_;
    Key expected_signature_;
};

} // namespace pgbalancer
