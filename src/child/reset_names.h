// reset_names.h: which settings a text resets. Pure.
//
// RESET a, SET a TO DEFAULT, SET TIME ZONE DEFAULT wherever a statement may begin, also within a block or function and
// in quotes (for EXECUTE), set_config('a', NULL, …) and UPDATE pg_settings SET setting = NULL. Finding too much costs
// little, so no text is parsed for this: but UPDATE … SET a = DEFAULT is not found.
#pragma once

#include "sql/classification.h"

#include <string>
#include <string_view>
#include <vector>

namespace pgbalancer {

// Lower-cased, in the order of the text. "all": RESET ALL, DISCARD ALL, or one whose name the text does not show.
std::vector<std::string> settings_reset_in(const Classification &what, std::string_view text);

} // namespace pgbalancer
