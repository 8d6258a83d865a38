#include "child/setting_names.h"

#include <algorithm>
#include <cctype>

namespace pgbalancer {

namespace {

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

bool is_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' || c == '\v'; }

// The words of a text that is known to be BEGIN or START TRANSACTION, without comments.
std::vector<std::string> words_of(std::string_view text) {
    std::vector<std::string> words;
    size_t i = 0;
    while (i < text.size()) {
        if (text.substr(i, 2) == "--") {
            i = std::min(text.find('\n', i), text.size());
        } else if (text.substr(i, 2) == "/*") {
            int depth = 0;
            do {
                if (text.substr(i, 2) == "/*") {
                    depth++;
                    i += 2;
                } else if (text.substr(i, 2) == "*/") {
                    depth--;
                    i += 2;
                } else {
                    i++;
                }
            } while (depth > 0 && i < text.size());
        } else if (std::isalpha(static_cast<unsigned char>(text[i])) != 0) {
            std::string word;
            while (i < text.size() && std::isalpha(static_cast<unsigned char>(text[i])) != 0) {
                word.push_back(lower(text[i++]));
            }
            words.push_back(std::move(word));
        } else {
            i++;
        }
    }
    return words;
}

// Calls `found(argument)` for each set_config( in the text, with the text after the parenthesis.
template <class Found> void each_set_config(std::string_view text, Found found) {
    static constexpr std::string_view kName = "set_config";
    for (size_t i = 0; i + kName.size() <= text.size(); i++) {
        const bool here = std::equal(kName.begin(), kName.end(), text.begin() + static_cast<std::ptrdiff_t>(i),
                                     [](char a, char b) { return a == lower(b); });
        if (!here) {
            continue;
        }
        size_t at = i + kName.size();
        while (at < text.size() && (is_space(text[at]) || text[at] == '"')) {
            at++;
        }
        if (at < text.size() && text[at] == '(') {
            found(text.substr(at + 1));
        }
    }
}

// An identifier of the text at `at`, folded unless quoted; moves `at` behind it. Empty if there is none.
std::string identifier(std::string_view text, size_t &at) {
    std::string name;
    if (at < text.size() && text[at] == '"') {
        for (at++; at < text.size() && text[at] != '"'; at++) {
            name.push_back(lower(text[at])); // names of settings are compared without case
        }
        at += at < text.size() ? 1 : 0;
        return name;
    }
    while (at < text.size() && (std::isalnum(static_cast<unsigned char>(text[at])) != 0 || text[at] == '_' ||
                                text[at] == '$' || (text[at] & 0x80) != 0)) {
        name.push_back(lower(text[at++]));
    }
    return name;
}

// Calls `found(name)` for each `SET [SESSION] a.b` in a text of several statements. Finding too much does no harm.
template <class Found> void each_set(std::string_view text, Found found) {
    size_t at = 0;
    while (at < text.size()) {
        const std::string word = identifier(text, at);
        if (word != "set") {
            at += word.empty() ? 1 : 0;
            continue;
        }
        std::string name;
        do {
            while (at < text.size() && is_space(text[at])) {
                at++;
            }
            name = identifier(text, at);
        } while (name == "session");
        while (!name.empty() && at < text.size() && text[at] == '.') {
            at++;
            name += "." + identifier(text, at);
        }
        if (name.find('.') != std::string::npos) {
            found(std::move(name));
        }
    }
}

// 'name' followed by a comma, without anything that would need more than a look.
std::string plain_literal(std::string_view argument) {
    size_t at = 0;
    while (at < argument.size() && is_space(argument[at])) {
        at++;
    }
    if (at == argument.size() || argument[at] != '\'') {
        return {};
    }
    const size_t end = argument.find('\'', at + 1);
    if (end == std::string_view::npos) {
        return {};
    }
    std::string name;
    for (const char c : argument.substr(at + 1, end - at - 1)) {
        if (c == '\\') {
            return {};
        }
        name.push_back(lower(c));
    }
    for (at = end + 1; at < argument.size() && is_space(argument[at]); at++) {
    }
    return at < argument.size() && argument[at] == ',' ? name : std::string();
}

} // namespace

bool is_transaction_command(StatementKind kind) {
    return kind == StatementKind::begin || kind == StatementKind::commit || kind == StatementKind::rollback;
}

bool starts_transaction(std::string_view text) {
    const auto words = words_of(text);
    return !words.empty() && words[0] == "start";
}

bool has_options(std::string_view text) {
    const auto words = words_of(text);
    const bool noise = words.size() > 1 && (words[1] == "transaction" || words[1] == "work");
    return words.size() > (noise ? 2U : 1U);
}

std::vector<std::string> custom_settings_in(const Classification &what, std::string_view text) {
    std::vector<std::string> names;
    if (what.name.find('.') != std::string::npos) {
        names.push_back(what.name);
    } else if (what.kind == StatementKind::multiple || what.kind == StatementKind::do_block ||
               what.kind == StatementKind::unknown) {
        each_set(text, [&names](std::string name) { names.push_back(std::move(name)); });
    }
    each_set_config(text, [&names](std::string_view argument) {
        std::string name = plain_literal(argument);
        if (name.find('.') != std::string::npos) {
            names.push_back(std::move(name));
        }
    });
    return names;
}

bool means_the_same_anywhere(const Classification &what, std::string_view text) {
    return what.name != "datestyle" && std::all_of(text.begin(), text.end(), [](char c) {
               return c != '\\' && (static_cast<unsigned char>(c) & 0x80) == 0;
           });
}

bool sets_unknown_custom_setting(std::string_view text) {
    bool unknown = false;
    each_set_config(text,
                    [&unknown](std::string_view argument) { unknown = unknown || plain_literal(argument).empty(); });
    return unknown;
}

} // namespace pgbalancer
