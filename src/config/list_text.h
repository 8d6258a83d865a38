// list_text.h: comma-separated lists as configuration text. An item that is empty, has space at
// an end or holds a comma or a double quote is written in double quotes, with double quotes doubled, as PostgreSQL
// writes identifiers. Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace pgbalancer {

// "a, "b,c"" is a and b,c. An empty text is an empty list. Nothing if an item is empty and not quoted, or a double
// quote stands in the wrong place.
std::optional<std::vector<std::string>> parse_list(std::string_view text);
std::string list_text(const std::vector<std::string> &items);

// "name:word, name:word". A word is never quoted and has no colon; a name may have one.
using NamedWords = std::vector<std::pair<std::string, std::string>>;
std::optional<NamedWords> parse_named_words(std::string_view text);
std::string named_words_text(const NamedWords &pairs);

} // namespace pgbalancer
