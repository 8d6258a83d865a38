// parameter_table.h: the table of all parameters.
//
// The only place where a parameter's name, type, range, default and description are written down. Constant data.
#pragma once

#include "config/parameter.h"

#include <span>
#include <string_view>

namespace pgbalancer {

// The parameter that makes a node exist.
inline constexpr std::string_view kBackendHostname = "backend_hostname";

// In the order of the manual; the rows of a section stand together.
std::span<const Parameter> parameter_table();
std::string_view section_title(Section section);

} // namespace pgbalancer
