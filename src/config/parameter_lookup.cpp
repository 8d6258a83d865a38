#include "config/parameter_lookup.h"

#include "config/edit_distance.h"
#include "config/parameter_table.h"
#include "config/words.h"

#include <algorithm>
#include <charconv>

namespace pgbalancer {

namespace {

struct NumberedName {
    std::string_view stem;
    std::string_view digits; // may be empty
};

NumberedName split_number(std::string_view name) {
    size_t end = name.size();
    while (end > 0 && name[end - 1] >= '0' && name[end - 1] <= '9') {
        end--;
    }
    return {name.substr(0, end), name.substr(end)};
}

const Parameter *find_row(std::string_view name, bool per_node) {
    for (const Parameter &row : parameter_table()) {
        if (row.per_node() == per_node && same_word(row.name, name)) {
            return &row;
        }
    }
    return nullptr;
}

// The nearest row that is near enough to be a slip of the pen, with a valid node number where one belongs.
std::string nearest_name(std::string_view unknown) {
    const auto [stem, digits] = split_number(unknown);
    size_t best_distance = std::max<size_t>(1, std::min<size_t>(4, unknown.size() / 4)) + 1;
    std::string best;
    for (const Parameter &row : parameter_table()) {
        const std::string_view name = row.per_node() ? stem : unknown;
        const size_t longer = std::max(name.size(), row.name.size()), shorter = std::min(name.size(), row.name.size());
        if (longer - shorter >= best_distance) { // cheaper than the distance, which is at least this
            continue;
        }
        if (const size_t distance = edit_distance(name, row.name); distance < best_distance) {
            best_distance = distance;
            best = ParameterRef{&row, row.per_node() ? parse_node_number(digits).value_or(0) : kNoNode}.name();
        }
    }
    return best;
}

} // namespace

std::optional<int> parse_node_number(std::string_view digits) {
    int node = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), node);
    const bool canonical = digits.size() == 1 || (!digits.empty() && digits[0] != '0');
    if (error != std::errc{} || end != digits.data() + digits.size() || !canonical || node > kMaxNodeNumber) {
        return std::nullopt;
    }
    return node;
}

std::string ParameterRef::name() const {
    std::string text{parameter->name};
    if (parameter->per_node()) {
        text += std::to_string(node);
    }
    return text;
}

std::optional<ParameterRef> find_parameter(std::string_view name) {
    if (const Parameter *row = find_row(name, false)) {
        return ParameterRef{row};
    }
    const auto [stem, digits] = split_number(name);
    const Parameter *row = find_row(stem, true);
    const std::optional<int> node = parse_node_number(digits);
    if (row == nullptr || !node) {
        return std::nullopt;
    }
    return ParameterRef{row, *node};
}

std::vector<ParameterRef> parameters_with_nodes(const std::vector<int> &nodes) {
    std::vector<ParameterRef> refs;
    bool nodes_listed = false;
    for (const Parameter &row : parameter_table()) {
        if (!row.per_node()) {
            refs.push_back({&row});
            continue;
        }
        if (std::exchange(nodes_listed, true)) {
            continue;
        }
        for (const int node : nodes) {
            for (const Parameter &of_node : parameter_table()) {
                if (of_node.per_node()) {
                    refs.push_back({&of_node, node});
                }
            }
        }
    }
    return refs;
}

std::string unknown_parameter_message(std::string_view name) {
    std::string message = "unknown parameter \"" + printable(name) + "\"";
    const auto [stem, digits] = split_number(name);
    if (const Parameter *row = find_row(stem, true)) {
        message += digits.empty() ? ": it takes a node number, as in " : ": node numbers go from 0 to 127, as in ";
        return message + ParameterRef{row, 0}.name();
    }
    if (const std::string nearest = nearest_name(name); !nearest.empty()) {
        message += ", did you mean \"" + nearest + "\"?";
    }
    return message;
}

const BackendConfig *find_backend(const Config &config, int node) {
    const auto found = std::ranges::find(config.backends, node, &BackendConfig::id);
    return found == config.backends.end() ? nullptr : &*found;
}

BackendConfig *find_backend(Config &config, int node) {
    return const_cast<BackendConfig *>(find_backend(std::as_const(config), node));
}

} // namespace pgbalancer
