// yaml_reader.h: the same parameters in YAML.
//
// The document is one mapping of parameter names to values. Where the value is a list, a sequence may be written;
// where it is a list of name:mode, a mapping. A sequence of mappings under `backends` is short for backend_*N: each
// mapping is a backend, N is its `id` or else its place in the sequence, from 0. Anchors, aliases and further
// documents are refused. The first syntax error ends reading, and so does nesting deeper than any
// parameter's. Pure.
#pragma once

#include "config/problem_list.h"
#include "config/setting.h"

#include <string_view>

namespace pgbalancer {

Settings read_yaml(std::string_view text, ProblemList &problems);

} // namespace pgbalancer
