#include "sql/routing_hint.h"

#include "sql/token_scanner.h"

#include <charconv>

namespace pgbalancer {

namespace {

using namespace token_scanner_detail;

void trim(std::string_view &text) {
    while (!text.empty() && class_of(text.front()) == kSpace) {
        text.remove_prefix(1);
    }
    while (!text.empty() && class_of(text.back()) == kSpace) {
        text.remove_suffix(1);
    }
}

// Takes `lower_case_word` off the front of `text`, and the white space after it.
bool take(std::string_view &text, std::string_view lower_case_word) {
    if (text.size() < lower_case_word.size()) {
        return false;
    }
    for (size_t i = 0; i < lower_case_word.size(); ++i) {
        const char c = text[i];
        if ((c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c) != lower_case_word[i]) {
            return false;
        }
    }
    text.remove_prefix(lower_case_word.size());
    trim(text);
    return true;
}

HintValue parse_comment(std::string_view inside) {
    trim(inside);
    std::string_view rest = inside;
    if (take(rest, "no load balance")) {
        return {.hint = rest.empty() ? RoutingHint::primary : RoutingHint::none};
    }
    rest = inside;
    if (!take(rest, "+") || !take(rest, "pgbalancer") || !take(rest, ":")) {
        return {};
    }
    if (take(rest, "primary")) {
        return {.hint = rest.empty() ? RoutingHint::primary : RoutingHint::none};
    }
    if (take(rest, "standby")) {
        return {.hint = rest.empty() ? RoutingHint::standby : RoutingHint::none};
    }
    if (take(rest, "node") && take(rest, "=")) {
        HintValue value{.hint = RoutingHint::node};
        const auto [stop, error] = std::from_chars(rest.data(), rest.data() + rest.size(), value.node);
        if (error == std::errc{} && stop == rest.data() + rest.size()) {
            return value;
        }
    }
    return {};
}

} // namespace

HintValue routing_hint(std::string_view sql) {
    const char *p = sql.data();
    const char *const end = p + sql.size();
    while (p < end) {
        if (class_of(*p) == kSpace) {
            ++p;
        } else if (end - p >= 2 && p[0] == '-' && p[1] == '-') {
            p = skip_line(p + 2, end);
        } else if (end - p >= 2 && p[0] == '/' && p[1] == '*') {
            const char *const inside = p + 2;
            p = skip_block_comment(inside, end);
            if (p == nullptr) {
                return {};
            }
            const HintValue value = parse_comment({inside, static_cast<size_t>(p - 2 - inside)});
            if (value.hint != RoutingHint::none) {
                return value;
            }
        } else {
            return {};
        }
    }
    return {};
}

} // namespace pgbalancer
