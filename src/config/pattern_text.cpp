#include "config/pattern_text.h"

#include "common/pattern.h"
#include "config/list_text.h"
#include "config/words.h"

#include <charconv>
#include <cmath>

namespace pgbalancer {

namespace {

constexpr uint16_t kHighestNode = 127;

std::string unquoted_quotes(std::string_view text) {
    std::string out;
    for (size_t i = 0; i < text.size(); i++) {
        if (text[i] == '\\' && i + 1 < text.size()) {
            i++;
            out += text[i] == '\'' ? "" : "\\";
        }
        out += text[i];
    }
    return out;
}

std::optional<std::string> refusal(const std::string &expression, Pattern::Case how) {
    const auto pattern = Pattern::compile(expression, how);
    if (pattern) {
        return std::nullopt;
    }
    return "has \"" + printable(expression) + "\", which is no regular expression: " + pattern.error().message;
}

std::string ratio_text(double ratio) {
    char buffer[400];
    const auto [end, error] = std::to_chars(buffer, buffer + sizeof buffer, ratio, std::chars_format::fixed);
    return error == std::errc{} ? std::string(buffer, end) : std::string();
}

// Takes "(0.5)" off the end of a target. False: it is malformed.
bool take_ratio(std::string_view &target, double &ratio) {
    const size_t open = target.find('(');
    if (open == std::string_view::npos) {
        return true;
    }
    if (!target.ends_with(')')) {
        return false;
    }
    const std::string_view number = trimmed(target.substr(open + 1, target.size() - open - 2));
    const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), ratio);
    target = trimmed(target.substr(0, open));
    ratio += 0.0; // -0 becomes 0
    return error == std::errc{} && end == number.data() + number.size() && ratio >= 0 && ratio <= 1;
}

bool take_target(std::string_view target, RedirectEntry &entry) {
    if (same_word(target, "primary")) {
        entry.kind = RedirectEntry::Kind::primary;
        return true;
    }
    if (same_word(target, "standby")) {
        entry.kind = RedirectEntry::Kind::standby;
        return true;
    }
    entry.kind = RedirectEntry::Kind::node;
    const auto [end, error] = std::from_chars(target.data(), target.data() + target.size(), entry.node_id);
    return error == std::errc{} && end == target.data() + target.size() && entry.node_id <= kHighestNode;
}

} // namespace

TextResult<std::vector<std::string>> parse_query_patterns(std::string_view text) {
    std::vector<std::string> patterns;
    std::string pattern;
    const auto finish = [&] {
        if (const std::string_view whole = trimmed(pattern); !whole.empty()) {
            patterns.emplace_back(whole);
        }
        pattern.clear();
    };
    const std::string unescaped = unquoted_quotes(text);
    for (size_t i = 0; i < unescaped.size(); i++) {
        if (unescaped[i] == ';') {
            finish();
        } else if (unescaped[i] == '\\' && i + 1 < unescaped.size()) {
            i++;
            pattern += unescaped[i] == ';' ? "" : "\\";
            pattern += unescaped[i];
        } else {
            pattern += unescaped[i];
        }
    }
    finish();
    for (const std::string &each : patterns) {
        if (auto complaint = refusal(each, Pattern::Case::ignored)) {
            return std::move(*complaint);
        }
    }
    return patterns;
}

std::string query_patterns_text(const std::vector<std::string> &patterns) {
    std::string text;
    for (const std::string &pattern : patterns) {
        text += text.empty() ? "" : ";";
        for (const char c : pattern) {
            text += c == ';' ? "\\;" : std::string(1, c);
        }
    }
    return text;
}

TextResult<std::vector<std::string>> parse_name_patterns(std::string_view text) {
    auto items = parse_list(unquoted_quotes(text));
    if (!items) {
        return "is not a list of items separated by commas";
    }
    for (const std::string &item : *items) {
        if (auto complaint = refusal(item, Pattern::Case::matters)) {
            return std::move(*complaint);
        }
    }
    return std::move(*items);
}

TextResult<std::vector<RedirectEntry>> parse_redirects(std::string_view text) {
    const auto pairs = parse_named_words(unquoted_quotes(text));
    if (!pairs) {
        return "is not of the form name:node, name:node(ratio)";
    }
    std::vector<RedirectEntry> entries;
    for (const auto &[name, word] : *pairs) {
        RedirectEntry entry{.pattern = name};
        std::string_view target = word;
        if (!take_ratio(target, entry.ratio)) {
            return "has a ratio that is not a number from 0 to 1";
        }
        if (!take_target(target, entry)) {
            return "has a node that is neither primary nor standby nor the number of one";
        }
        if (auto complaint = refusal(name, Pattern::Case::matters)) {
            return std::move(*complaint);
        }
        entries.push_back(std::move(entry));
    }
    return entries;
}

std::string redirects_text(const std::vector<RedirectEntry> &entries) {
    NamedWords pairs;
    for (const RedirectEntry &entry : entries) {
        std::string target = entry.kind == RedirectEntry::Kind::primary   ? "primary"
                             : entry.kind == RedirectEntry::Kind::standby ? "standby"
                                                                          : std::to_string(entry.node_id);
        if (entry.ratio != 1) {
            target += "(" + ratio_text(entry.ratio) + ")";
        }
        pairs.emplace_back(entry.pattern, std::move(target));
    }
    return named_words_text(pairs);
}

} // namespace pgbalancer
