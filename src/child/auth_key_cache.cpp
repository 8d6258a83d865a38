#include "child/auth_key_cache.h"

#include "child/auth_passwd.h"
#include "child/auth_saslprep.h"
#include "common/random.h"

#include <cstdint>
#include <cstring>

namespace pgbalancer {

namespace {

Key random_key() {
    Key key;
    random_bytes(key.bytes);
    return key;
}

ScramVerifier verifier_of(const ScramKeys &keys, std::string salt, int iterations) {
    ScramVerifier verifier;
    verifier.iterations = iterations;
    verifier.salt = std::move(salt);
    verifier.stored_key = keys.stored_key;
    verifier.server_key = keys.server_key;
    return verifier;
}

// What an entry is about: derived from a password, or recovered from a client's proof.
constexpr std::string_view kDerived = "derived";
constexpr std::string_view kRecovered = "recovered";

} // namespace

ScramKeys derive_scram_keys(std::string_view password, std::string_view salt, int iterations) {
    const SecretText prepared = saslprep(password);
    const Key salted = pbkdf2_sha256(prepared.view(), salt, iterations);
    ScramKeys keys;
    keys.client_key = hmac_sha256(salted.view(), {"Client Key"});
    keys.stored_key = sha256(keys.client_key.view());
    keys.server_key = hmac_sha256(salted.view(), {"Server Key"});
    return keys;
}

KeyCache::KeyCache(const Key &tree_key, size_t capacity)
    : tree_key_(tree_key), cache_key_(random_key()), capacity_(capacity < 1 ? 1 : capacity) {}

size_t KeyCache::DigestHash::operator()(const std::string_view &digest) const {
    size_t hash = 0; // any eight bytes of a keyed digest do
    memcpy(&hash, digest.data(), sizeof hash);
    return hash;
}

Key KeyCache::digest_of(std::string_view kind, std::string_view text, std::string_view salt, int iterations) const {
    const uint64_t numbers[] = {kind.size(), salt.size(), static_cast<uint64_t>(iterations)};
    return hmac_sha256(cache_key_.view(),
                       {{reinterpret_cast<const char *>(numbers), sizeof numbers}, kind, salt, text});
}

ScramKeys *KeyCache::find(const Key &digest) {
    const auto found = index_.find(digest.view());
    if (found == index_.end()) {
        return nullptr;
    }
    order_.splice(order_.begin(), order_, found->second);
    return &found->second->keys;
}

ScramKeys &KeyCache::insert(const Key &digest, const ScramKeys &keys) {
    if (order_.size() >= capacity_) {
        index_.erase(order_.back().digest.view());
        order_.pop_back();
    }
    order_.push_front({digest, keys});
    index_.emplace(order_.front().digest.view(), order_.begin());
    return order_.front().keys;
}

const ScramKeys &KeyCache::keys(std::string_view password, std::string_view salt, int iterations) {
    const Key digest = digest_of(kDerived, password, salt, iterations);
    if (const ScramKeys *known = find(digest)) {
        return *known;
    }
    return insert(digest, derive_scram_keys(password, salt, iterations));
}

std::string KeyCache::salt_for(std::string_view user) const {
    return std::string(hmac_sha256(tree_key_.view(), {"salt", user}).view().substr(0, kScramSaltBytes));
}

ScramVerifier KeyCache::verifier_for(std::string_view user, const PlainSecret &secret) {
    std::string salt = salt_for(user);
    const ScramKeys &derived = keys(secret.password.view(), salt, kDefaultScramIterations);
    return verifier_of(derived, std::move(salt), kDefaultScramIterations);
}

bool KeyCache::matches(const ScramVerifier &verifier, std::string_view password) {
    const Key digest = digest_of(kDerived, password, verifier.salt, verifier.iterations);
    if (const ScramKeys *known = find(digest)) {
        return same_bytes(known->stored_key, verifier.stored_key);
    }
    const ScramKeys derived = derive_scram_keys(password, verifier.salt, verifier.iterations);
    if (!same_bytes(derived.stored_key, verifier.stored_key)) {
        return false;
    }
    insert(digest, derived);
    remember_client_key(verifier, derived.client_key);
    return true;
}

void KeyCache::remember_client_key(const ScramVerifier &verifier, const Key &client_key) {
    if (!same_bytes(sha256(client_key.view()), verifier.stored_key)) {
        return;
    }
    const Key digest = digest_of(kRecovered, verifier.stored_key.view(), verifier.salt, verifier.iterations);
    if (find(digest) == nullptr) {
        insert(digest, {client_key, verifier.stored_key, verifier.server_key});
    }
}

const Key *KeyCache::client_key(const ScramVerifier &verifier) {
    const ScramKeys *known =
        find(digest_of(kRecovered, verifier.stored_key.view(), verifier.salt, verifier.iterations));
    return known == nullptr ? nullptr : &known->client_key;
}

size_t KeyCache::precompute(const PasswordFile &file, size_t limit) {
    size_t derived = 0;
    for (const auto &[user, secret] : file) {
        if (derived >= limit) {
            break;
        }
        const PlainSecret *plain = std::get_if<PlainSecret>(&secret);
        if (plain == nullptr) {
            continue;
        }
        const std::string salt = salt_for(user);
        const Key digest = digest_of(kDerived, plain->password.view(), salt, kDefaultScramIterations);
        if (find(digest) == nullptr) {
            insert(digest, derive_scram_keys(plain->password.view(), salt, kDefaultScramIterations));
            derived++;
        }
    }
    return derived;
}

} // namespace pgbalancer
