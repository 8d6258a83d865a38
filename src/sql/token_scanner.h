// token_scanner.h: PostgreSQL's lexical rules (scan.l of PostgreSQL 15) as one pass over a text.
//
// scan_tokens() cuts a text into tokens and hands each to a sink, inlined: the fingerprint's hash, the nesting
// estimate and the rewriting of escape strings are sinks. It never allocates, never reads outside the text, and stops
// at the first thing it has a doubt about; what the sink got until then is to be thrown away. Any process.
//
// A sink has these members (the text pointers lead into the scanned text):
//   void word(const char *text, size_t size);        unquoted identifier or key word, not case-folded
//   void quoted_word(const char *text, size_t size); what is between the double quotes, doubled quotes kept
//   void literal(LiteralKind kind);                  what it says is of no interest to any sink
//   void operation(const char *text, size_t size);   operators, and the punctuation , ( ) [ ] . ; : :: := .. =>
#pragma once

#include "sql/fingerprint.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

namespace pgbalancer {

enum class LiteralKind : uint8_t {
    integer = 1, // fits 32 bits: the grammar knows the difference
    numeric,
    string,          // '…', E'…', U&'…', $$…$$
    national_string, // N'…': the grammar adds a type
    bit_string,      // B'…', X'…'
    parameter,       // $1
};

namespace token_scanner_detail {

enum Class : uint8_t {
    kInvalid,
    kSpace,
    kWordStart,
    kDigit,
    kOperator,
    kSelf,
    kQuote,
    kDoubleQuote,
    kDollar,
    kDot,
    kColon
};
constexpr uint8_t kClassMask = 0x0f;
constexpr uint8_t kWordPart = 0x10; // may continue an identifier
// An operator may end in + or - only if it contains one of these (scan.l, rule {operator}).
constexpr uint8_t kLetsSignEnd = 0x20;

constexpr std::array<uint8_t, 256> make_classes() {
    std::array<uint8_t, 256> table{};
    for (const char c : std::string_view(" \t\n\r\f")) {
        table[static_cast<unsigned char>(c)] = kSpace;
    }
    for (int c = 0; c < 256; ++c) {
        if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c >= 0x80) {
            table[static_cast<size_t>(c)] = kWordStart | kWordPart;
        } else if (c >= '0' && c <= '9') {
            table[static_cast<size_t>(c)] = kDigit | kWordPart;
        }
    }
    for (const char c : std::string_view("+-*/<>=")) {
        table[static_cast<unsigned char>(c)] = kOperator;
    }
    for (const char c : std::string_view("~!@#^&|`?%")) {
        table[static_cast<unsigned char>(c)] = kOperator | kLetsSignEnd;
    }
    for (const char c : std::string_view(",()[];")) {
        table[static_cast<unsigned char>(c)] = kSelf;
    }
    table['\''] = kQuote;
    table['"'] = kDoubleQuote;
    table['$'] = kDollar | kWordPart;
    table['.'] = kDot;
    table[':'] = kColon;
    return table;
}
inline constexpr std::array<uint8_t, 256> kClasses = make_classes();

inline uint8_t flags_of(char c) { return kClasses[static_cast<unsigned char>(c)]; }
inline uint8_t class_of(char c) { return flags_of(c) & kClassMask; }
inline bool is_newline(char c) { return c == '\n' || c == '\r'; }
inline bool is_digit(char c) { return c >= '0' && c <= '9'; }

// `p` is inside an identifier; returns behind it.
inline const char *skip_word(const char *p, const char *end) {
#ifdef __SSE2__
    // Sixteen characters at once: a loop over bytes mispredicts the end of every word.
    while (end - p >= 16) {
        const __m128i text = _mm_loadu_si128(reinterpret_cast<const __m128i *>(p));
        const auto in_range = [](__m128i value, char first, int count) { // unsigned, by way of a signed comparison
            const __m128i shifted = _mm_sub_epi8(value, _mm_set1_epi8(static_cast<char>(first + 128)));
            return _mm_cmplt_epi8(shifted, _mm_set1_epi8(static_cast<char>(count - 128)));
        };
        const __m128i letter = in_range(_mm_or_si128(text, _mm_set1_epi8(0x20)), 'a', 26);
        const __m128i digit = in_range(text, '0', 10);
        const __m128i mark =
            _mm_or_si128(_mm_cmpeq_epi8(text, _mm_set1_epi8('_')), _mm_cmpeq_epi8(text, _mm_set1_epi8('$')));
        // The sign bit of `text` itself: bytes of multibyte characters.
        const __m128i part = _mm_or_si128(_mm_or_si128(letter, digit), _mm_or_si128(mark, text));
        const auto others = ~static_cast<unsigned>(_mm_movemask_epi8(part)) & 0xffffU;
        if (others != 0) {
            return p + __builtin_ctz(others);
        }
        p += 16;
    }
#endif
    while (p < end && (flags_of(*p) & kWordPart) != 0) {
        ++p;
    }
    return p;
}

inline const char *skip_line(const char *p, const char *end) {
    while (p < end && !is_newline(*p)) {
        ++p;
    }
    return p;
}

// `p` is behind the opening /*. Comments nest. Null when unterminated.
inline const char *skip_block_comment(const char *p, const char *end) {
    size_t depth = 1;
    while (end - p >= 2) {
        if (p[0] == '*' && p[1] == '/') {
            p += 2;
            if (--depth == 0) {
                return p;
            }
        } else if (p[0] == '/' && p[1] == '*') {
            p += 2;
            ++depth;
        } else {
            ++p;
        }
    }
    return nullptr;
}

// The first character of the next token, or null at the end of the text or in an unterminated comment.
inline const char *next_token(const char *p, const char *end) {
    while (p != nullptr && p < end) {
        if (class_of(*p) == kSpace) {
            ++p;
        } else if (end - p >= 2 && p[0] == '-' && p[1] == '-') {
            p = skip_line(p + 2, end);
        } else if (end - p >= 2 && p[0] == '/' && p[1] == '*') {
            p = skip_block_comment(p + 2, end);
        } else {
            return p;
        }
    }
    return nullptr;
}

// Behind the closing quote of a string: where its next part's content begins (scan.l, {quotecontinue}: white space with
// a newline in it and another quote), or null.
inline const char *string_continuation(const char *p, const char *end) {
    bool newline = false;
    while (p < end) {
        if (is_newline(*p)) {
            newline = true;
            ++p;
        } else if (class_of(*p) == kSpace) {
            ++p;
        } else if (end - p >= 2 && p[0] == '-' && p[1] == '-') {
            p = skip_line(p + 2, end);
        } else {
            return newline && *p == '\'' ? p + 1 : nullptr;
        }
    }
    return nullptr;
}

// `p` is behind the opening quote; returns behind the last closing one, or null when unterminated. A doubled quote
// stands for one, but not in bit strings.
inline const char *scan_string(const char *p, const char *end, bool doubling = true) {
    for (;;) {
        p = static_cast<const char *>(memchr(p, '\'', static_cast<size_t>(end - p)));
        if (p == nullptr) {
            return nullptr;
        }
        ++p;
        if (doubling && p < end && *p == '\'') {
            ++p;
        } else if (const char *more = string_continuation(p, end); more != nullptr) {
            p = more;
        } else {
            return p;
        }
    }
}

// The same with backslash escapes. What they stand for is not looked at: the server refuses a bad one.
inline const char *scan_escape_string(const char *p, const char *end) {
    while (p < end) {
        if (*p == '\\') {
            if (end - p < 2) {
                return nullptr;
            }
            p += 2;
        } else if (*p != '\'') {
            ++p;
        } else if (++p < end && *p == '\'') {
            ++p;
        } else if (const char *more = string_continuation(p, end); more != nullptr) {
            p = more;
        } else {
            return p;
        }
    }
    return nullptr;
}

// `p` is at the opening dollar of $tag$ (not followed by a digit); returns behind the closing one, or null.
inline const char *scan_dollar_string(const char *p, const char *end) {
    const char *q = p + 1;
    while (q < end && *q != '$' && (flags_of(*q) & kWordPart) != 0) {
        ++q;
    }
    if (q == end || *q != '$') {
        return nullptr;
    }
    const std::string_view tag(p, static_cast<size_t>(q + 1 - p));
    const std::string_view rest(q + 1, static_cast<size_t>(end - q - 1));
    const size_t close = rest.find(tag);
    return close == std::string_view::npos ? nullptr : rest.data() + close + tag.size();
}

// `p` is at a digit or at a point before one. Null for what PostgreSQL 15 calls trailing junk; other versions make
// two tokens of it, or a hexadecimal number.
inline const char *scan_number(const char *p, const char *end, LiteralKind &kind) {
    const char *start = p;
    while (p < end && is_digit(*p)) {
        ++p;
    }
    bool integer = p > start;
    if (p < end && *p == '.' && !(integer && end - p >= 2 && p[1] == '.')) { // 1..10 is 1 and two points
        integer = false;
        ++p;
        while (p < end && is_digit(*p)) {
            ++p;
        }
    }
    if (p < end && (*p == 'e' || *p == 'E')) {
        integer = false;
        ++p;
        if (p < end && (*p == '+' || *p == '-')) {
            ++p;
        }
        if (p == end || !is_digit(*p)) {
            return nullptr;
        }
        while (p < end && is_digit(*p)) {
            ++p;
        }
    }
    if (p < end && class_of(*p) == kWordStart) {
        return nullptr;
    }
    kind = LiteralKind::numeric;
    if (integer) {
        uint64_t value = 0;
        for (const char *q = start; q < p && value <= INT32_MAX; ++q) {
            value = value * 10 + static_cast<uint64_t>(*q - '0');
        }
        kind = value <= INT32_MAX ? LiteralKind::integer : LiteralKind::numeric;
    }
    return p;
}

// `p` is at an operator character that starts no comment. Returns behind the operator: it ends where a comment begins,
// and drops trailing signs unless a character in it allows them.
inline const char *scan_operator(const char *p, const char *end) {
    const char *q = p;
    uint8_t seen = 0;
    while (q < end && class_of(*q) == kOperator) {
        if (end - q >= 2 && ((q[0] == '/' && q[1] == '*') || (q[0] == '-' && q[1] == '-'))) {
            break;
        }
        seen |= flags_of(*q);
        ++q;
    }
    if ((seen & kLetsSignEnd) == 0) {
        while (q - p > 1 && (q[-1] == '+' || q[-1] == '-')) {
            --q;
        }
    }
    return q;
}

// What follows reads one token at `p`, gives it to the sink and returns behind it; null in doubt.

template <class Sink> const char *take(Sink &sink, LiteralKind kind, const char *behind) {
    if (behind != nullptr) {
        sink.literal(kind);
    }
    return behind;
}

template <class Sink> const char *take_number(Sink &sink, const char *p, const char *end) {
    LiteralKind kind{};
    const char *const behind = scan_number(p, end, kind);
    return take(sink, kind, behind);
}

// A string with a prefix: E'…', B'…', X'…', N'…', U&'…'. `p` is behind the prefix's letter, at a quote or an ampersand.
// Null as well when it is no such string: `prefixed` says which.
template <class Sink>
const char *take_prefixed(Sink &sink, char letter, const char *p, const char *end, LexRules rules, bool &prefixed) {
    prefixed = true;
    if (*p == '\'') {
        switch (letter) {
        case 'e': return take(sink, LiteralKind::string, scan_escape_string(p + 1, end));
        case 'b':
        case 'x': return take(sink, LiteralKind::bit_string, scan_string(p + 1, end, false));
        case 'n':
            return take(sink, LiteralKind::national_string,
                        rules.standard_conforming_strings ? scan_string(p + 1, end) : scan_escape_string(p + 1, end));
        default: break;
        }
    } else if (letter == 'u' && end - p >= 2) {
        if (p[1] == '\'' && rules.standard_conforming_strings) { // PostgreSQL refuses it otherwise
            return take(sink, LiteralKind::string, scan_string(p + 2, end));
        }
        if (p[1] == '\'' || p[1] == '"') {
            return nullptr; // the name would have to be decoded
        }
    }
    prefixed = false;
    return nullptr;
}

template <class Sink> const char *take_word(Sink &sink, const char *p, const char *end, LexRules rules) {
    const char *const start = p;
    p = skip_word(p, end);
    if (p - start == 1 && p < end && (*p == '\'' || *p == '&')) {
        bool prefixed = false;
        const char *const behind = take_prefixed(sink, static_cast<char>(*start | 0x20), p, end, rules, prefixed);
        if (prefixed) {
            return behind;
        }
    }
    sink.word(start, static_cast<size_t>(p - start));
    return p;
}

template <class Sink> const char *take_quoted_word(Sink &sink, const char *p, const char *end) {
    const char *const text = ++p;
    for (;;) {
        p = static_cast<const char *>(memchr(p, '"', static_cast<size_t>(end - p)));
        if (p == nullptr || p == text) {
            return nullptr; // unterminated, or empty, which PostgreSQL refuses
        }
        if (end - p < 2 || p[1] != '"') {
            sink.quoted_word(text, static_cast<size_t>(p - text));
            return p + 1;
        }
        p += 2;
    }
}

// A parameter or a dollar-quoted string.
template <class Sink> const char *take_dollar(Sink &sink, const char *p, const char *end) {
    if (end - p < 2 || !is_digit(p[1])) {
        return take(sink, LiteralKind::string, scan_dollar_string(p, end));
    }
    do {
        ++p;
    } while (p < end && is_digit(*p));
    return take(sink, LiteralKind::parameter, p < end && class_of(*p) == kWordStart ? nullptr : p);
}

template <class Sink> const char *take_punctuation(Sink &sink, const char *p, size_t size) {
    sink.operation(p, size);
    return p + size;
}

// An operator or a comment.
template <class Sink> const char *take_operator(Sink &sink, const char *p, const char *end) {
    constexpr ptrdiff_t kLongest = 63; // NAMEDATALEN - 1
    if (end - p >= 2) {
        if (p[0] == '-' && p[1] == '-') {
            return skip_line(p + 2, end);
        }
        if (p[0] == '/' && p[1] == '*') {
            return skip_block_comment(p + 2, end);
        }
    }
    const char *const behind = scan_operator(p, end);
    return behind - p > kLongest ? nullptr : take_punctuation(sink, p, static_cast<size_t>(behind - p));
}

} // namespace token_scanner_detail

// False when in doubt: see fingerprint().
template <class Sink> bool scan_tokens(std::string_view sql, LexRules rules, Sink &sink) {
    using namespace token_scanner_detail;
    const char *p = sql.data();
    const char *const end = p + sql.size();
    if (!rules.ascii_is_ascii) {
        for (const char c : sql) {
            if (static_cast<unsigned char>(c) >= 0x80) {
                return false;
            }
        }
    }
    while (p != nullptr && p < end) {
        if (*p == ' ' && ++p == end) { // most tokens have one before them
            break;
        }
        const char next = end - p >= 2 ? p[1] : '\0';
        switch (class_of(*p)) {
        case kSpace: ++p; break;
        case kWordStart: p = take_word(sink, p, end, rules); break;
        case kDigit: p = take_number(sink, p, end); break;
        case kOperator: p = take_operator(sink, p, end); break;
        case kSelf: p = take_punctuation(sink, p, 1); break;
        case kQuote:
            p = take(sink, LiteralKind::string,
                     rules.standard_conforming_strings ? scan_string(p + 1, end) : scan_escape_string(p + 1, end));
            break;
        case kDoubleQuote: p = take_quoted_word(sink, p, end); break;
        case kDollar: p = take_dollar(sink, p, end); break;
        case kDot:
            p = is_digit(next) ? take_number(sink, p, end) : take_punctuation(sink, p, next == '.' ? 2 : 1);
            break;
        case kColon: p = take_punctuation(sink, p, next == ':' || next == '=' ? 2 : 1); break;
        default: return false;
        }
    }
    return p != nullptr;
}

} // namespace pgbalancer
