// A configuration as names and values, for those who show it.
#include "config/config_loader.h"

#include "config/parameter_lookup.h"
#include "config/parameter_value.h"

namespace pgbalancer {

std::optional<std::string> parameter_value(const Config &config, std::string_view name) {
    const auto ref = find_parameter(name);
    if (!ref) {
        return std::nullopt;
    }
    const BackendConfig *backend = find_backend(config, ref->node);
    if (ref->parameter->per_node() && backend == nullptr) {
        return std::nullopt;
    }
    return parameter_text(*ref->parameter, config, backend, Secrets::masked);
}

std::vector<ParameterStatus> describe_parameters(const Config &config) {
    std::vector<ParameterStatus> statuses;
    std::vector<int> nodes;
    for (const BackendConfig &backend : config.backends) {
        nodes.push_back(backend.id);
    }
    for (const ParameterRef &ref : parameters_with_nodes(nodes)) {
        statuses.push_back(
            {.name = ref.name(),
             .value = parameter_text(*ref.parameter, config, find_backend(config, ref.node), Secrets::masked),
             .default_value = std::string(ref.parameter->default_text),
             .help = ref.parameter->help,
             .reloadable = ref.parameter->reloadable,
             .keeps_backslashes = keeps_backslashes(*ref.parameter)});
    }
    return statuses;
}

} // namespace pgbalancer
