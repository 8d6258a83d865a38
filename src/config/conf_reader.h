// conf_reader.h: the `key = value` syntax of pgpool-II and PostgreSQL.
//
// One setting a line; `=` may be left out; `#` starts a comment outside quotes; a value in single quotes may hold
// '' and the escapes \b \f \n \r \t \ooo and \x for x itself (PostgreSQL manual, 20.1.2). An unquoted value ends at
// white space, # or a quote. A line that cannot be read is reported and the next one is tried, so the result
// is always complete. Pure.
#pragma once

#include "config/problem_list.h"
#include "config/setting.h"

#include <string>
#include <string_view>

namespace pgbalancer {

Settings read_conf(std::string_view text, ProblemList &problems);

// The value in single quotes, such that read_conf() gives it back; with `keep` as Setting::verbatim.
enum class Backslashes : uint8_t { escape, keep };
std::string conf_quoted(std::string_view value, Backslashes backslashes = Backslashes::escape);

} // namespace pgbalancer
