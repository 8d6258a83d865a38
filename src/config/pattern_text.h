// pattern_text.h: lists of regular expressions as configuration text, with pgpool's separators. Pure.
//
// Backslashes stand in the file as in the expression: what postgresql.conf makes of them does not apply (conf_reader.h,
// Setting::verbatim). \' is a quote.
#pragma once

#include "config/config.h"

#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace pgbalancer {

// A value, or what is wrong with the text: the end of a sentence that begins with it.
template <class T> using TextResult = std::variant<T, std::string>;

// "a.*;b": query patterns. \; is a semicolon inside of one; items that are empty are left out.
[[nodiscard]] TextResult<std::vector<std::string>> parse_query_patterns(std::string_view text);
std::string query_patterns_text(const std::vector<std::string> &patterns);

// "get_.*, "f{1,2}"": names, as list_text.h writes lists.
[[nodiscard]] TextResult<std::vector<std::string>> parse_name_patterns(std::string_view text);

// "app[0-9]:standby, batch:1(0.5)": a pattern, then primary, standby or a node's number, then perhaps a ratio.
[[nodiscard]] TextResult<std::vector<RedirectEntry>> parse_redirects(std::string_view text);
std::string redirects_text(const std::vector<RedirectEntry> &entries);

} // namespace pgbalancer
