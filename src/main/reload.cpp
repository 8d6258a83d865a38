#include "main/reload.h"

#include "common/log.h"
#include "config/config_loader.h"
#include "config/log_options.h"
#include "main/control_channel.h"

namespace pgbalancer {

std::optional<Reloaded> reload_configuration(const Config &running) {
    ConfigLoad load = load_config_file(running.source_path);
    for (const ConfigProblem &problem : load.problems) {
        log_at(problem.severity == ConfigSeverity::error ? LogLevel::error : LogLevel::warning, "%s",
               to_string(problem).c_str());
    }
    if (!load.config) {
        log_at(LogLevel::error, "reload: the configuration has errors and stays as it was");
        return std::nullopt;
    }
    auto sealed = seal_text(load.text);
    if (!sealed) {
        log_at(LogLevel::error, "reload: %s", sealed.error().message.c_str());
        return std::nullopt;
    }
    Config next = reloadable_part(running, *load.config);
    if (!log_configure(log_options(next))) {
        log_at(LogLevel::error, "reload: cannot open the log file \"%s\"; messages stay where they were",
               next.log_file.c_str());
    }
    for (const ParameterChange &change : changed_parameters(running, *load.config)) {
        log_at(change.reloadable ? LogLevel::notice : LogLevel::warning, "reload: %s changes from \"%s\" to \"%s\"%s",
               change.name.c_str(), change.from.c_str(), change.to.c_str(),
               change.reloadable ? "" : " only with a restart");
    }
    log_at(LogLevel::notice, "configuration reloaded");
    return Reloaded{.config = std::move(next), .text = std::move(*sealed)};
}

} // namespace pgbalancer
