// fingerprint.h: a statement text's identity, blind to literals, spacing and comments.
//
// One pass over the text, no allocation: PostgreSQL's own lexical rules (scan.l of PostgreSQL 15) cut it into
// tokens, and the token stream is hashed with a secret key to 128 bits. Strings, numbers and parameters count by
// kind only, lists of them as if they were short (token_folder.h), unquoted identifiers case-folded; of comments only a
// routing hint before the first token counts. Two texts with one fingerprint have the same Classification.
//
// Clients choose the texts, so the hash must not let them make two texts collide: see token_hash.h for why it does
// not. Pure functions of their arguments; any process.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

namespace pgbalancer {

struct Fingerprint {
    uint64_t high = 0;
    uint64_t low = 0;
    bool operator==(const Fingerprint &) const = default;
};

// What the session's settings say about the text.
struct LexRules {
    // standard_conforming_strings: off lets a backslash escape in '…' too.
    bool standard_conforming_strings = true;
    // False for client encodings whose multibyte characters contain ASCII bytes (see encoding_embeds_ascii()).
    bool ascii_is_ascii = true;
    bool operator==(const LexRules &) const = default;
};

// True for the client encodings in which a byte below 0x80 can be part of a multibyte character: BIG5, GBK, GB18030,
// JOHAB, SJIS, SHIFT_JIS_2004, UHC. Spelled as PostgreSQL accepts it: case and punctuation do not matter. True
// as well for a name it does not know.
[[nodiscard]] bool encoding_embeds_ascii(std::string_view client_encoding);

// The secret of one process, drawn from the kernel's CSPRNG. Fingerprints of different keys have nothing to do
// with each other.
class FingerprintKey {
  public:
    FingerprintKey();                                               // random
    explicit FingerprintKey(const std::array<uint64_t, 2> &secret); // fixed, for tests

  private:
    friend class TokenHash;
    std::array<std::array<uint64_t, 4>, 2> powers_; // r, r², r³, r⁴ of the two secrets
};

// No value when in doubt: unterminated or malformed tokens, NUL bytes, characters that start no token, what PostgreSQL
// versions lex differently. Such a text is of kind `unknown`, unparsed.
[[nodiscard]] std::optional<Fingerprint> fingerprint(std::string_view sql, const FingerprintKey &key, LexRules rules);

} // namespace pgbalancer
