// parameter_value.h: showing, comparing and copying the value of one parameter, by its type in the table.
//
// `backend` is the backend a per-node parameter is about and may be null for the others. Pure: no file is touched.
#pragma once

#include "config/parameter.h"

#include <string>

namespace pgbalancer {

enum class Secrets : uint8_t { masked, plain };
// The value as assign_parameter() reads it. A masked secret that is set is "********".
std::string parameter_text(const Parameter &parameter, const Config &config, const BackendConfig *backend,
                           Secrets secrets);

bool parameter_equal(const Parameter &parameter, const Config &a, const BackendConfig *backend_a, const Config &b,
                     const BackendConfig *backend_b);
void copy_parameter(const Parameter &parameter, const Config &from, const BackendConfig *backend_from, Config &to,
                    BackendConfig *backend_to);

bool is_secret(const Parameter &parameter);
// Whether the value is written in quotes in a configuration file.
bool is_quoted(const Parameter &parameter);
// Whether backslashes in those quotes are the value's own: regular expressions.
bool keeps_backslashes(const Parameter &parameter);
// For the manual: "integer", "duration in seconds"; and the permitted values: "1 .. 65535", "on, off", or empty.
std::string type_text(const Parameter &parameter);
std::string range_text(const Parameter &parameter);

} // namespace pgbalancer
