// auth_hba_lexer.h: pool_hba's text as lines of fields of tokens, PostgreSQL manual "The pg_hba.conf File".
//
// Blanks separate fields, commas the tokens of a field; '#' begins a comment; a backslash at the end of a line joins
// it to the next. Quotes allow blanks, commas and '#', take the meaning from keywords, and are doubled to be
// themselves. Pure; any process.
#pragma once

#include "common/result.h"

#include <string>
#include <string_view>
#include <vector>

namespace pgbalancer {

struct HbaToken {
    std::string text;
    bool quoted = false; // begins with a quote: never a keyword

    bool is(std::string_view keyword) const { return !quoted && text == keyword; }
};

using HbaField = std::vector<HbaToken>; // at least one

// Takes the next line, joined with those that continue it; `lines` receives how many were taken.
std::string take_hba_line(std::string_view &text, int &lines);

// The fields of a line; none for an empty line or a comment.
Result<std::vector<HbaField>> split_hba_line(std::string_view line);

} // namespace pgbalancer
