#include "config/words.h"

#include <algorithm>

namespace pgbalancer {

namespace {

bool is_control(char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }

} // namespace

bool is_space(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\f' || c == '\v'; }

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

std::string_view trimmed(std::string_view text) {
    while (!text.empty() && is_space(text.front())) {
        text.remove_prefix(1);
    }
    while (!text.empty() && is_space(text.back())) {
        text.remove_suffix(1);
    }
    return text;
}

bool same_word(std::string_view a, std::string_view b) {
    return std::ranges::equal(a, b, [](char x, char y) { return lower(x) == lower(y); });
}

std::string printable(std::string_view text) {
    constexpr size_t kLongest = 80;
    std::string shown{text.substr(0, kLongest)};
    std::ranges::replace_if(shown, is_control, '?');
    if (text.size() > kLongest) {
        shown += "...";
    }
    return shown;
}

bool has_control_character(std::string_view text) { return std::ranges::any_of(text, is_control); }

} // namespace pgbalancer
