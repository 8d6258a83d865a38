// words.h: small text helpers of the configuration readers. Bytes are taken as ASCII, whatever the locale. Pure.
#pragma once

#include <string>
#include <string_view>

namespace pgbalancer {

bool is_space(char c);
char lower(char c);
std::string_view trimmed(std::string_view text);
bool same_word(std::string_view a, std::string_view b); // without regard to case

// The text as it may be shown on a terminal: control characters replaced, the length bounded.
std::string printable(std::string_view text);

bool has_control_character(std::string_view text);

} // namespace pgbalancer
