#include "sql/canonical_text.h"

#include "sql/nesting_meter.h"
#include "sql/token_folder.h"
#include "sql/token_scanner.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

namespace pgbalancer {

namespace {

// An Output of TokenFolder that keeps the tokens.
class TokenList {
  public:
    enum class Kind : uint8_t { word, quoted_word, literal, operation };
    struct Token {
        Kind kind;
        LiteralKind literal;
        std::string_view text; // empty for literals
    };

    void word(const char *text, size_t size) { put({Kind::word, {}, {text, size}}); }
    void quoted_word(const char *text, size_t size) { put({Kind::quoted_word, {}, {text, size}}); }
    void operation(const char *text, size_t size) { put({Kind::operation, {}, {text, size}}); }
    void literal(LiteralKind kind) { put({Kind::literal, kind, {}}); }

    size_t position() const { return tokens_.size(); }
    bool can_rewind(size_t) const { return true; }
    void truncate(size_t position) { tokens_.resize(position); }
    bool same(TokenRange a, TokenRange b) const {
        const auto at = [this](size_t position) { return tokens_.begin() + static_cast<ptrdiff_t>(position); };
        return std::equal(at(a.begin), at(a.end), at(b.begin), at(b.end),
                          [](const Token &x, const Token &y) { return x.kind == y.kind && x.text == y.text; });
    }

    const std::vector<Token> &tokens() const { return tokens_; }
    // Once there were too many, what is in the list has no meaning.
    bool overflowed() const { return overflowed_; }

  private:
    void put(Token token) {
        if (tokens_.size() < kMostTokens) {
            tokens_.push_back(token);
        } else {
            overflowed_ = true;
        }
    }
    bool overflowed_ = false;
    std::vector<Token> tokens_;
};

std::string_view constant_of(LiteralKind kind) {
    switch (kind) {
    case LiteralKind::integer: return "1";
    case LiteralKind::numeric: return "1.5";
    case LiteralKind::string: return "'x'"; // not empty: the tree does not tell an empty file name from none
    case LiteralKind::national_string: return "N'x'";
    case LiteralKind::bit_string: return "B'1'";
    case LiteralKind::parameter: return "$1";
    }
    return "'x'";
}

} // namespace

std::optional<CanonicalText> canonical_text(std::string_view sql, LexRules rules) {
    if (!sql.empty() && memchr(sql.data(), '\0', sql.size()) != nullptr) {
        return std::nullopt;
    }
    TokenList list;
    TokenFolder folder(list, sql.data() + sql.size());
    if (!scan_tokens(sql, rules, folder)) {
        return std::nullopt;
    }
    CanonicalText result;
    if (list.overflowed()) {
        result.too_long = true;
        return result;
    }
    NestingMeter meter;
    for (const TokenList::Token &token : list.tokens()) {
        // A space between any two: no token can run into the next.
        switch (token.kind) {
        case TokenList::Kind::word:
            meter.word(token.text);
            result.text += token.text;
            break;
        case TokenList::Kind::quoted_word:
            meter.operand();
            result.text += '"';
            result.text += token.text;
            result.text += '"';
            break;
        case TokenList::Kind::literal:
            meter.operand();
            result.text += constant_of(token.literal);
            break;
        case TokenList::Kind::operation:
            meter.operation(token.text);
            result.text += token.text;
            break;
        }
        result.text += ' ';
    }
    result.nesting = meter.bound();
    return result;
}

} // namespace pgbalancer
