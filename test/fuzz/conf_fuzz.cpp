// Any text as a configuration file, in both syntaxes: the readers end within their bounds, and what they accept,
// shown and read again, is the same configuration.
#include "config/conf_reader.h"
#include "config/config_loader.h"

#include <cstddef>
#include <cstdint>
#include <cstdlib>

namespace {

using namespace pgbalancer;

void require(bool condition) {
    if (!condition) {
        abort();
    }
}

void load_and_show(std::string_view text, const char *path) {
    const ConfigLoad load = load_config_text(text, path);
    bool errors = false;
    for (const ConfigProblem &problem : load.problems) {
        errors |= problem.severity == ConfigSeverity::error;
        require(!problem.message.empty() && problem.message.size() < 1000);
    }
    require(errors != load.config.has_value());
    if (!load.config) {
        return;
    }
    // Secrets are shown masked and would come back as the mask.
    Config config = *load.config;
    config.health_check_password.clear();
    config.sr_check_password.clear();
    std::string shown;
    for (const ParameterStatus &status : describe_parameters(config)) {
        const Backslashes backslashes = status.keeps_backslashes ? Backslashes::keep : Backslashes::escape;
        shown += status.name + " = " + conf_quoted(status.value, backslashes) + "\n";
    }
    const ConfigLoad again = load_config_text(shown, "/dir/file.conf");
    require(again.config && changed_parameters(config, *again.config).empty());
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    constexpr size_t kLargest = 32 * 1024; // quoted again, it must still be within the readers' bound
    if (size > kLargest) {
        return 0;
    }
    const std::string_view text(reinterpret_cast<const char *>(data), size);
    load_and_show(text, "/dir/file.conf");
    load_and_show(text, "/dir/file.yaml");
    return 0;
}
