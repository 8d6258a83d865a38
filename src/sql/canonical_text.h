// canonical_text.h: the token stream that a fingerprint stands for, as a text for the parser.
//
// Literals are replaced by constants of their kind and repetitions folded (token_folder.h), so that what the parser
// makes of it, and with it the Classification, is a function of the fingerprint's tokens and of nothing else. As a
// by-product it is bounded in nesting before anything recurses over it, free of backslash escapes and short. Pure.
#pragma once

#include "sql/fingerprint.h"

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace pgbalancer {

struct CanonicalText {
    // Empty with `too_long`: more tokens than kMostTokens are left after folding.
    std::string text;
    bool too_long = false;
    // An upper bound for the stack the parse tree's depth takes, in units of some two kilobytes: an operator counts
    // one, a level of parentheses four. Lists (of values, of AND and OR, of statements) do not nest, and do not count.
    size_t nesting = 0;
};

// The parser takes some 4 µs per token, during which the process does nothing else.
constexpr size_t kMostTokens = 8000;

// No value in doubt, exactly when fingerprint() has none.
[[nodiscard]] std::optional<CanonicalText> canonical_text(std::string_view sql, LexRules rules);

} // namespace pgbalancer
