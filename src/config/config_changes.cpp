// What a reload changes: comparing and merging two configurations by the parameter table.
#include "config/config_loader.h"

#include "config/parameter_lookup.h"
#include "config/parameter_table.h"
#include "config/parameter_value.h"

#include <algorithm>
#include <iterator>

namespace pgbalancer {

namespace {

std::vector<int> node_numbers(const Config &config) {
    std::vector<int> nodes;
    for (const BackendConfig &backend : config.backends) {
        nodes.push_back(backend.id);
    }
    return nodes;
}

std::vector<int> node_numbers(const Config &a, const Config &b) {
    std::vector<int> nodes;
    std::ranges::set_union(node_numbers(a), node_numbers(b), std::back_inserter(nodes));
    return nodes;
}

} // namespace

std::vector<ParameterChange> changed_parameters(const Config &running, const Config &next) {
    std::vector<ParameterChange> changes;
    for (const ParameterRef &ref : parameters_with_nodes(node_numbers(running, next))) {
        const Parameter &parameter = *ref.parameter;
        const BackendConfig *from = find_backend(running, ref.node);
        const BackendConfig *to = find_backend(next, ref.node);
        if (parameter.per_node() && (from == nullptr || to == nullptr)) {
            if (parameter.name == kBackendHostname) {
                changes.push_back({.name = ref.name(),
                                   .from = from != nullptr ? from->hostname : std::string(),
                                   .to = to != nullptr ? to->hostname : std::string(),
                                   .reloadable = false});
            }
            continue;
        }
        if (!parameter_equal(parameter, running, from, next, to)) {
            changes.push_back({.name = ref.name(),
                               .from = parameter_text(parameter, running, from, Secrets::masked),
                               .to = parameter_text(parameter, next, to, Secrets::masked),
                               .reloadable = parameter.reloadable});
        }
    }
    return changes;
}

std::vector<std::string> changes_needing_restart(const Config &running, const Config &next) {
    std::vector<std::string> names;
    for (ParameterChange &change : changed_parameters(running, next)) {
        if (!change.reloadable) {
            names.push_back(std::move(change.name));
        }
    }
    return names;
}

Config reloadable_part(const Config &running, const Config &next) {
    Config merged = running;
    for (const ParameterRef &ref : parameters_with_nodes(node_numbers(running))) {
        BackendConfig *to = find_backend(merged, ref.node);
        const BackendConfig *from = find_backend(next, ref.node);
        const bool present = !ref.parameter->per_node() || from != nullptr;
        if (ref.parameter->reloadable && present) {
            copy_parameter(*ref.parameter, next, from, merged, to);
        }
    }
    return merged;
}

} // namespace pgbalancer
