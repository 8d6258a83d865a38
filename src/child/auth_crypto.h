// auth_crypto.h: OpenSSL's digests behind value types; the only file that names OpenSSL in authentication.
//
// Worker process, single-threaded, no I/O. A failure inside OpenSSL means there is no memory or no SHA-256: the
// process aborts and is replaced. MD5 may be absent by policy (FIPS), which is an ordinary answer. Memory that held
// a secret is wiped when it is given back.
#pragma once

#include <array>
#include <cstddef>
#include <initializer_list>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace pgbalancer {

// OPENSSL_cleanse: not removed by the optimiser.
void wipe(void *data, size_t size) noexcept;

template <class T> struct WipingAllocator {
    using value_type = T;
    WipingAllocator() = default;
    template <class U> WipingAllocator(const WipingAllocator<U> &) {} // NOLINT: rebinding
    T *allocate(size_t n) { return std::allocator<T>().allocate(n); }
    void deallocate(T *p, size_t n) noexcept {
        wipe(p, n * sizeof(T));
        std::allocator<T>().deallocate(p, n);
    }
    bool operator==(const WipingAllocator &) const { return true; }
};

// Text that is a secret. Not a std::string: short strings live inside the object, where no allocator wipes them.
class SecretText {
  public:
    SecretText() = default;
    explicit SecretText(std::string_view text) : bytes_(text.begin(), text.end()) {}
    std::string_view view() const { return {bytes_.data(), bytes_.size()}; }
    bool empty() const { return bytes_.empty(); }
    void append(std::string_view text) { bytes_.insert(bytes_.end(), text.begin(), text.end()); }

  private:
    std::vector<char, WipingAllocator<char>> bytes_;
};

// 32 bytes: a SHA-256 digest or a SCRAM key. Wiped on destruction; compare with same_bytes() only.
struct Key {
    static constexpr size_t kSize = 32;
    std::array<unsigned char, kSize> bytes{};

    Key() = default;
    Key(const Key &) = default;
    Key &operator=(const Key &) = default;
    ~Key() { wipe(bytes.data(), bytes.size()); }
    std::string_view view() const { return {reinterpret_cast<const char *>(bytes.data()), bytes.size()}; }
};

Key operator^(const Key &a, const Key &b);

// In time that depends on the sizes only; different sizes are different.
bool same_bytes(std::string_view a, std::string_view b);
inline bool same_bytes(const Key &a, const Key &b) { return same_bytes(a.view(), b.view()); }

Key sha256(std::string_view data);
// Over the concatenation of the parts.
Key hmac_sha256(std::string_view key, std::initializer_list<std::string_view> parts);
Key pbkdf2_sha256(std::string_view password, std::string_view salt, int iterations);

// 32 lower-case digits: MD5 over both parts. Nothing where OpenSSL's policy forbids MD5.
std::optional<SecretText> md5_hex(std::string_view first, std::string_view second);

// RFC 4648 with padding. Decoding is strict: no blanks, no missing padding, no stray bits.
std::string base64_encode(std::string_view data);
std::optional<std::string> base64_decode(std::string_view text);
std::optional<Key> base64_decode_key(std::string_view text); // exactly 32 bytes

} // namespace pgbalancer
