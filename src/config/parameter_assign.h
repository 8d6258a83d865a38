// parameter_assign.h: setting one parameter from configuration text, by its type in the table. Pure: no file is
// touched.
#pragma once

#include "config/parameter.h"

#include <optional>
#include <string>
#include <string_view>

namespace pgbalancer {

// Returns what is wrong with the text, to follow its quotation ("is not an integer"), and then leaves the parameter
// as it was. Relative paths start from `base_directory`. `backend` is the backend a per-node parameter is about and
// may be null for the others.
std::optional<std::string> assign_parameter(const Parameter &parameter, std::string_view text,
                                            const std::string &base_directory, Config &config, BackendConfig *backend);

} // namespace pgbalancer
