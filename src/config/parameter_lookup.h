// parameter_lookup.h: from the names administrators write to rows of the parameter table. Pure.
#pragma once

#include "config/parameter.h"

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pgbalancer {

inline constexpr int kMaxNodeNumber = 127;
inline constexpr int kNoNode = -1;

// Decimal, 0 .. kMaxNodeNumber, without leading zeros.
std::optional<int> parse_node_number(std::string_view digits);

// A row, and for a backend parameter the node it is about.
struct ParameterRef {
    const Parameter *parameter;
    int node = kNoNode;

    std::string name() const;
};

// Finds a parameter by name, in upper or lower case. Nothing when there is none, or when a node number is missing,
// superfluous, out of range or written with leading zeros.
std::optional<ParameterRef> find_parameter(std::string_view name);

// Every parameter of a configuration with these nodes, in the order of the manual; those of backends node by node.
std::vector<ParameterRef> parameters_with_nodes(const std::vector<int> &nodes);

// Why an unknown name is unknown: "unknown parameter ...", with the nearest known name if there is one.
std::string unknown_parameter_message(std::string_view name);

// The backend with that number, or null.
const BackendConfig *find_backend(const Config &config, int node);
BackendConfig *find_backend(Config &config, int node);

} // namespace pgbalancer
