#include "config/list_text.h"

#include "config/words.h"

namespace pgbalancer {

namespace {

// The text between the commas that stand outside double quotes, trimmed. Quotes are not checked here: an unbalanced
// one makes its item malformed.
std::vector<std::string_view> split_at_commas(std::string_view text) {
    std::vector<std::string_view> items;
    bool quoted = false;
    size_t start = 0;
    for (size_t i = 0; i < text.size(); i++) {
        if (text[i] == '"') {
            quoted = !quoted;
        } else if (text[i] == ',' && !quoted) {
            items.push_back(trimmed(text.substr(start, i - start)));
            start = i + 1;
        }
    }
    items.push_back(trimmed(text.substr(start)));
    return items;
}

std::optional<std::string> unquoted(std::string_view item) {
    if (!item.starts_with('"')) {
        if (item.empty() || item.find('"') != std::string_view::npos) {
            return std::nullopt;
        }
        return std::string(item);
    }
    if (item.size() < 2 || !item.ends_with('"')) {
        return std::nullopt;
    }
    const std::string_view inner = item.substr(1, item.size() - 2);
    std::string text;
    for (size_t i = 0; i < inner.size(); i++) {
        if (inner[i] == '"' && (++i == inner.size() || inner[i] != '"')) {
            return std::nullopt;
        }
        text += inner[i];
    }
    return text;
}

std::string quoted_if_needed(std::string_view item) {
    if (!item.empty() && trimmed(item) == item && item.find_first_of(",\"") == std::string_view::npos) {
        return std::string(item);
    }
    std::string text = "\"";
    for (const char c : item) {
        text += c;
        if (c == '"') {
            text += c;
        }
    }
    return text += '"';
}

} // namespace

std::optional<std::vector<std::string>> parse_list(std::string_view text) {
    std::vector<std::string> items;
    if (trimmed(text).empty()) {
        return items;
    }
    for (const std::string_view piece : split_at_commas(text)) {
        std::optional<std::string> item = unquoted(piece);
        if (!item) {
            return std::nullopt;
        }
        items.push_back(std::move(*item));
    }
    return items;
}

std::string list_text(const std::vector<std::string> &items) {
    std::string text;
    for (const std::string &item : items) {
        text += text.empty() ? "" : ", ";
        text += quoted_if_needed(item);
    }
    return text;
}

std::optional<NamedWords> parse_named_words(std::string_view text) {
    NamedWords pairs;
    if (trimmed(text).empty()) {
        return pairs;
    }
    for (const std::string_view piece : split_at_commas(text)) {
        const size_t colon = piece.rfind(':');
        if (colon == std::string_view::npos) {
            return std::nullopt;
        }
        std::optional<std::string> name = unquoted(trimmed(piece.substr(0, colon)));
        const std::string_view word = trimmed(piece.substr(colon + 1));
        if (!name || word.empty() || word.find('"') != std::string_view::npos) {
            return std::nullopt;
        }
        pairs.emplace_back(std::move(*name), word);
    }
    return pairs;
}

std::string named_words_text(const NamedWords &pairs) {
    std::string text;
    for (const auto &[name, word] : pairs) {
        text += text.empty() ? "" : ", ";
        text += quoted_if_needed(name) + ":" + word;
    }
    return text;
}

} // namespace pgbalancer
