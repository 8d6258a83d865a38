// token_hash.h: the keyed hash behind the fingerprint; an Output of TokenFolder.
//
// The token stream becomes a sequence of blocks b1 … bn, numbers between 1 and p-1 with p = 2^61-1, one-to-one: seven
// bytes of text and a tag saying what they are and whether the token goes on. The hash is the value of the polynomial
// b1 r^n + b2 r^(n-1) + … + bn r modulo p, for two secret points r drawn independently.
//
// Why this one: two different sequences are two different polynomials of degree <= n, and their difference has at most
// n roots, so they collide for at most (n/p)² of all keys (2^-112 for a text of 32 blocks), whoever chose them. That is
// proven, not conjectured, for every pair of texts chosen without knowledge of the key; and the values never leave the
// process, so that all a client can learn is that its texts do not collide. Fast hashes without a proof have known
// collisions that hold for every key.
#pragma once

#include "sql/fingerprint.h"
#include "sql/token_folder.h"
#include "sql/token_scanner.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace pgbalancer {

class TokenHash {
  public:
    // The key and the text to be scanned; both must outlive the hash.
    TokenHash(const FingerprintKey &key, std::string_view text)
        : key_(key), text_begin_(text.data()), text_end_(text.data() + text.size()) {}

    void hint(uint64_t value) { push(Tag::hint, value + 1); }
    void word(const char *text, size_t size) {
        while (size > kBlockBytes) {
            push(Tag::word_part, fold_case(load(text) & kBlockMask));
            text += kBlockBytes;
            size -= kBlockBytes;
        }
        push(Tag::word, fold_case(load_short(text, size)));
    }
    void quoted_word(const char *text, size_t size) { bytes(Tag::quoted_part, Tag::quoted, text, size); }
    void literal(LiteralKind kind) { push(Tag::literal, static_cast<uint64_t>(kind)); }
    void operation(const char *text, size_t size) {
        if (size == 1) {
            push(Tag::operation, static_cast<unsigned char>(*text));
        } else {
            bytes(Tag::operation_part, Tag::operation, text, size);
        }
    }

    // Positions are numbers of blocks.
    size_t position() const { return absorbed_ + used_; }
    bool can_rewind(size_t position) const { return position >= absorbed_; }
    void truncate(size_t position) { used_ = position - absorbed_; }
    bool same(TokenRange a, TokenRange b) const {
        if (a.end - a.begin != b.end - b.begin) {
            return false;
        }
        const uint64_t *left = blocks_.data() + (a.begin - absorbed_);
        const uint64_t *right = blocks_.data() + (b.begin - absorbed_);
        for (size_t i = 0; i < a.end - a.begin; ++i) {
            if (left[i] != right[i] && !(is_literal(left[i]) && is_literal(right[i]))) {
                return false;
            }
        }
        return true;
    }

    // Once, at the end.
    Fingerprint finish() {
        const size_t whole = used_ & ~size_t{3};
        absorb(whole);
        for (size_t lane = 0; lane < 2; ++lane) {
            for (size_t i = whole; i < used_; ++i) {
                state_[lane] = reduce(Wide{state_[lane] + blocks_[i]} * key_.powers_[lane][0]);
            }
        }
        // Spread over all 64 bits, one-to-one: tables take the low bits for their index.
        return {canonical(state_[0]), canonical(state_[1]) * 0x9e3779b97f4a7c15ULL};
    }

  private:
    static constexpr size_t kBlockBytes = 7;
    static constexpr uint64_t kBlockMask = ~uint64_t{0} >> 8;
    static constexpr size_t kBuffered = 128; // half of it a multiple of four
    static constexpr uint64_t kPrime = (uint64_t{1} << 61) - 1;
    // In bits 56..60 of a block; never zero, so no block is, and never 31, so none reaches p.
    enum class Tag : uint64_t { word = 1, word_part, quoted, quoted_part, operation, operation_part, literal, hint };

    using Wide = unsigned __int128;

    static uint64_t load(const char *text) {
        uint64_t value = 0;
        memcpy(&value, text, sizeof value);
        return value;
    }
    // The `size` bytes at `text`, 1..7, padded with zeros: no token contains one, so the padding is unambiguous.
    // Whatever the text's length and wherever it ends, nothing outside is read.
    uint64_t load_short(const char *text, size_t size) const {
        const uint64_t mask = ~uint64_t{0} >> (64 - 8 * size);
        const auto left = static_cast<size_t>(text_end_ - text);
        if (left >= 8) {
            return load(text) & mask;
        }
        if (text_end_ - text_begin_ >= 8) {
            return load(text_end_ - 8) >> (64 - 8 * left) & mask;
        }
        uint64_t value = 0;
        for (size_t i = 0; i < size; ++i) {
            value |= uint64_t{static_cast<unsigned char>(text[i])} << (8 * i);
        }
        return value;
    }
    // ASCII upper case to lower, eight bytes at once.
    static uint64_t fold_case(uint64_t bytes) {
        constexpr uint64_t kOnes = 0x0101010101010101ULL;
        const uint64_t low_bits = bytes & (kOnes * 0x7f);
        const uint64_t from_a = low_bits + kOnes * (0x80 - 'A');
        const uint64_t past_z = low_bits + kOnes * (0x7f - 'Z');
        const uint64_t upper = from_a & ~past_z & ~bytes & (kOnes * 0x80);
        return bytes | upper >> 2;
    }

    void bytes(Tag part, Tag last, const char *text, size_t size) {
        while (size > kBlockBytes) {
            push(part, load(text) & kBlockMask);
            text += kBlockBytes;
            size -= kBlockBytes;
        }
        push(last, load_short(text, size));
    }
    void push(Tag tag, uint64_t value) {
        blocks_[used_++] = static_cast<uint64_t>(tag) << 56 | value;
        if (used_ == kBuffered) {
            // The later half stays, so that what was put last can still be taken back.
            absorb(kBuffered / 2);
            memcpy(blocks_.data(), blocks_.data() + kBuffered / 2, sizeof(uint64_t) * (kBuffered / 2));
            used_ = kBuffered / 2;
        }
    }
    static bool is_literal(uint64_t block) { return block >> 56 == static_cast<uint64_t>(Tag::literal); }

    // Congruent modulo p and below 2^61 + 8, for anything below 2^126.
    static uint64_t reduce(Wide value) {
        const uint64_t once = (static_cast<uint64_t>(value) & kPrime) + static_cast<uint64_t>(value >> 61);
        return (once & kPrime) + (once >> 61);
    }
    static uint64_t canonical(uint64_t value) {
        value = (value & kPrime) + (value >> 61);
        return value >= kPrime ? value - kPrime : value;
    }
    // Horner's rule, four blocks a step: one reduction for four products, which do not wait for each other. `count` is
    // a multiple of four.
    void absorb(size_t count) {
        for (size_t lane = 0; lane < 2; ++lane) {
            const std::array<uint64_t, 4> &r = key_.powers_[lane];
            uint64_t state = state_[lane];
            for (size_t i = 0; i < count; i += 4) {
                state = reduce(Wide{state + blocks_[i]} * r[3] + Wide{blocks_[i + 1]} * r[2] +
                               Wide{blocks_[i + 2]} * r[1] + Wide{blocks_[i + 3]} * r[0]);
            }
            state_[lane] = state;
        }
        absorbed_ += count;
    }

    const FingerprintKey &key_;
    const char *text_begin_;
    const char *text_end_;
    std::array<uint64_t, 2> state_{};
    size_t absorbed_ = 0;                    // blocks in state_; none of them can be taken back
    size_t used_ = 0;                        // blocks in blocks_
    std::array<uint64_t, kBuffered> blocks_; // filled before it is read
};

} // namespace pgbalancer
