// The lexer and what hangs on it: reads nothing outside the text, and a text keeps its fingerprint under what may not
// matter. The input's first byte chooses the settings.
#include "sql/canonical_text.h"
#include "sql/fingerprint.h"
#include "sql/routing_hint.h"
#include "sql/token_scanner.h"

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

namespace {

using namespace pgbalancer;

const FingerprintKey kKey(std::array<uint64_t, 2>{0x0123456789abcdefULL, 0xfedcba9876543210ULL});

void require(bool holds) {
    if (!holds) {
        abort();
    }
}

// The text again with white space and comments between its tokens and other literals.
struct Spaced {
    std::string text;
    size_t count = 0;

    void add(const std::string &token) {
        static const char *const kSpaces[] = {" ", "/* ' */ ", "\t", " /*/**/*/ "};
        text += kSpaces[count++ % 4];
        text += token;
    }
    void word(const char *word, size_t size) { add({word, size}); }
    void quoted_word(const char *word, size_t size) { add('"' + std::string(word, size) + '"'); }
    void operation(const char *operation, size_t size) { add({operation, size}); }
    void literal(LiteralKind kind) {
        static const char *const kLiterals[] = {"", "7", "7.25e3", "'it''s'", "n'x'", "X'0'", "$99"};
        add(kLiterals[static_cast<size_t>(kind)]);
    }
};

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0) {
        return 0;
    }
    const LexRules rules{.standard_conforming_strings = (data[0] & 1) == 0, .ascii_is_ascii = (data[0] & 2) == 0};
    const std::vector<char> exact(data + 1, data + size); // a heap block with nothing readable around it
    const std::string_view sql(exact.data(), exact.size());

    const auto first = fingerprint(sql, kKey, rules);
    const auto canonical = canonical_text(sql, rules);
    require(first == fingerprint(std::string(sql) + ' ', kKey, rules) || !first);
    require(first.has_value() == canonical.has_value());
    if (!first || routing_hint(sql).hint != RoutingHint::none) {
        return 0;
    }
    Spaced spaced;
    require(scan_tokens(sql, rules, spaced));
    require(fingerprint(spaced.text, kKey, rules) == first);
    // Folding is done once and for all; in longer texts the hash cannot look back as far as the list of tokens can.
    if (sql.size() <= 60) {
        require(fingerprint(canonical->text, kKey, {}) == first);
    }
    return 0;
}
