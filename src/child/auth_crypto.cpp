#include "child/auth_crypto.h"

#include <climits>
#include <cstdlib>
#include <cstring>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>

namespace pgbalancer {

namespace {

template <auto Free> struct Freer {
    template <class T> void operator()(T *p) const { Free(p); }
};
using Mac = std::unique_ptr<EVP_MAC, Freer<EVP_MAC_free>>;
using MacContext = std::unique_ptr<EVP_MAC_CTX, Freer<EVP_MAC_CTX_free>>;
using DigestContext = std::unique_ptr<EVP_MD_CTX, Freer<EVP_MD_CTX_free>>;

const unsigned char *raw(std::string_view text) { return reinterpret_cast<const unsigned char *>(text.data()); }

void require(bool ok) {
    if (!ok) {
        abort();
    }
}

} // namespace

void wipe(void *data, size_t size) noexcept { OPENSSL_cleanse(data, size); }

Key operator^(const Key &a, const Key &b) {
    Key out;
    for (size_t i = 0; i < Key::kSize; i++) {
        out.bytes[i] = a.bytes[i] ^ b.bytes[i];
    }
    return out;
}

bool same_bytes(std::string_view a, std::string_view b) {
    return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

Key sha256(std::string_view data) {
    Key out;
    require(EVP_Digest(data.data(), data.size(), out.bytes.data(), nullptr, EVP_sha256(), nullptr) == 1);
    return out;
}

Key hmac_sha256(std::string_view key, std::initializer_list<std::string_view> parts) {
    const Mac mac(EVP_MAC_fetch(nullptr, "HMAC", nullptr));
    require(mac != nullptr);
    const MacContext context(EVP_MAC_CTX_new(mac.get()));
    char digest[] = "SHA256";
    const OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string("digest", digest, 0), OSSL_PARAM_construct_end()};
    require(context != nullptr && EVP_MAC_init(context.get(), raw(key), key.size(), params) == 1);
    for (const std::string_view part : parts) {
        require(EVP_MAC_update(context.get(), raw(part), part.size()) == 1);
    }
    Key out;
    size_t written = 0;
    require(EVP_MAC_final(context.get(), out.bytes.data(), &written, out.bytes.size()) == 1 && written == Key::kSize);
    return out;
}

Key pbkdf2_sha256(std::string_view password, std::string_view salt, int iterations) {
    require(password.size() <= INT_MAX && salt.size() <= INT_MAX);
    Key out;
    require(PKCS5_PBKDF2_HMAC(password.data(), static_cast<int>(password.size()), raw(salt),
                              static_cast<int>(salt.size()), iterations, EVP_sha256(), Key::kSize,
                              out.bytes.data()) == 1);
    return out;
}

std::optional<SecretText> md5_hex(std::string_view first, std::string_view second) {
    const DigestContext context(EVP_MD_CTX_new());
    require(context != nullptr);
    std::array<unsigned char, 16> digest{};
    if (EVP_DigestInit_ex(context.get(), EVP_md5(), nullptr) != 1 ||
        EVP_DigestUpdate(context.get(), first.data(), first.size()) != 1 ||
        EVP_DigestUpdate(context.get(), second.data(), second.size()) != 1 ||
        EVP_DigestFinal_ex(context.get(), digest.data(), nullptr) != 1) {
        return std::nullopt;
    }
    std::array<char, 32> hex{};
    for (size_t i = 0; i < digest.size(); i++) {
        hex[2 * i] = "0123456789abcdef"[digest[i] >> 4];
        hex[2 * i + 1] = "0123456789abcdef"[digest[i] & 15];
    }
    SecretText out({hex.data(), hex.size()});
    wipe(digest.data(), digest.size());
    wipe(hex.data(), hex.size());
    return out;
}

std::string base64_encode(std::string_view data) {
    require(data.size() <= INT_MAX / 2);
    std::string out((data.size() + 2) / 3 * 4 + 1, '\0'); // EVP_EncodeBlock ends with a NUL
    const int n =
        EVP_EncodeBlock(reinterpret_cast<unsigned char *>(out.data()), raw(data), static_cast<int>(data.size()));
    out.resize(static_cast<size_t>(n));
    return out;
}

std::optional<std::string> base64_decode(std::string_view text) {
    if (text.size() % 4 != 0 || text.size() > INT_MAX) {
        return std::nullopt;
    }
    std::string out(text.size() / 4 * 3, '\0');
    const int n =
        EVP_DecodeBlock(reinterpret_cast<unsigned char *>(out.data()), raw(text), static_cast<int>(text.size()));
    if (n < 0) {
        return std::nullopt;
    }
    // EVP_DecodeBlock counts the padding as bytes.
    const size_t padding = text.ends_with("==") ? 2 : text.ends_with('=') ? 1 : 0;
    out.resize(static_cast<size_t>(n) < padding ? 0 : static_cast<size_t>(n) - padding);
    // It also skips blanks and ignores stray bits: only what encodes to the same text again is well formed.
    std::string again = base64_encode(out);
    const bool canonical = again == text;
    wipe(again.data(), again.size());
    if (!canonical) {
        wipe(out.data(), out.size());
        return std::nullopt;
    }
    return out;
}

std::optional<Key> base64_decode_key(std::string_view text) {
    std::optional<std::string> bytes = base64_decode(text);
    if (!bytes) {
        return std::nullopt;
    }
    std::optional<Key> key;
    if (bytes->size() == Key::kSize) {
        memcpy(key.emplace().bytes.data(), bytes->data(), Key::kSize);
    }
    wipe(bytes->data(), bytes->size());
    return key;
}

} // namespace pgbalancer
