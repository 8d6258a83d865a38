// auth_key_cache.h: SCRAM keys derived once, so that no connection costs a key derivation.
//
// One per worker, handed by reference to the exchanges; outlives them. Bounded, least recently used goes first; all
// keys are wiped when they go. An entry is found by a keyed digest of (password, salt, iterations), so a reload of
// pool_passwd keeps what is still true and nothing needs invalidating.
//
// A miss computes PBKDF2 in the caller, that is in the event loop: about 1 ms for 4096 iterations, up to a quarter
// of a second at kMaxScramIterations. precompute() moves that to load time.
#pragma once

#include "child/auth_secret.h"

#include <cstddef>
#include <list>
#include <string_view>
#include <unordered_map>

namespace pgbalancer {

class PasswordFile;

struct ScramKeys {
    Key client_key;
    Key stored_key;
    Key server_key;
};

// RFC 5802, section 3, from the password as typed (SASLprep is applied). Slow.
ScramKeys derive_scram_keys(std::string_view password, std::string_view salt, int iterations);

class KeyCache {
  public:
    static constexpr size_t kDefaultCapacity = 4096; // entries of some 300 bytes
    static constexpr size_t kPrecomputeLimit = 200;  // about 0.2 s

    // `tree_key`: random, made once by the supervisor and the same in every worker: the salts shown for unknown and
    // for clear-text users come from it, so that neither asking twice nor another worker tells them apart. (A salt
    // of a verifier in pool_passwd stays the same when pgbalancer is restarted, the others change.)
    explicit KeyCache(const Key &tree_key, size_t capacity = kDefaultCapacity);
    KeyCache(const KeyCache &) = delete;
    KeyCache &operator=(const KeyCache &) = delete;

    // The keys for a password; computes them on a miss. The reference is valid until the next call.
    const ScramKeys &keys(std::string_view password, std::string_view salt, int iterations);

    // The salt we show for a user without a verifier, existing or not: always the same for the same name.
    std::string salt_for(std::string_view user) const;

    // What a client's password exchange is checked against for a clear-text entry.
    ScramVerifier verifier_for(std::string_view user, const PlainSecret &secret);

    // True if the password belongs to the verifier. Only right passwords are cached, so a guess always costs a
    // derivation and can push nothing out. Remembers the ClientKey.
    bool matches(const ScramVerifier &verifier, std::string_view password);

    // ClientKeys recovered from clients' verified proofs, by StoredKey = H(ClientKey): what lets us log in to a server
    // that has the very same verifier. remember() ignores a key that does not hash to the verifier's StoredKey.
    void remember_client_key(const ScramVerifier &verifier, const Key &client_key);
    const Key *client_key(const ScramVerifier &verifier); // null if none; valid until the next call

    // Derives what clients with clear-text entries will need first, for up to `limit` users not derived yet. Call
    // after every load. Returns how many were derived.
    size_t precompute(const PasswordFile &file, size_t limit = kPrecomputeLimit);

    size_t size() const { return order_.size(); }

  private:
    struct DigestHash {
        size_t operator()(const std::string_view &digest) const;
    };
    struct Entry {
        Key digest; // the map's key views into it
        ScramKeys keys;
    };
    using Order = std::list<Entry>; // most recently used first

    Key digest_of(std::string_view kind, std::string_view text, std::string_view salt, int iterations) const;
    ScramKeys *find(const Key &digest);
    ScramKeys &insert(const Key &digest, const ScramKeys &keys);

    Key tree_key_;
    Key cache_key_; // random, this object's own
    size_t capacity_;
    Order order_;
    std::unordered_map<std::string_view, Order::iterator, DigestHash> index_;
};

} // namespace pgbalancer
