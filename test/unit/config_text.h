// config_text.h: loading configuration texts in tests of src/config.
#pragma once

#include "config/config_loader.h"

#include <string>
#include <string_view>

namespace pgbalancer::test {

inline constexpr const char *kConfPath = "/etc/pgbalancer/test.conf";
inline constexpr const char *kYamlPath = "/etc/pgbalancer/test.yaml";

// What makes a text complete and free of warnings.
inline constexpr std::string_view kLeast = "backend_hostname0 = 'db'\nhealth_check_user = h\npool_passwd = p\n";

// Every problem, a line each: "3: error: ..." or, about the whole file, "0: error: ...".
inline std::string problems_of(const ConfigLoad &load) {
    std::string text;
    for (const ConfigProblem &problem : load.problems) {
        const char *severity = problem.severity == ConfigSeverity::error ? ": error: " : ": warning: ";
        text += std::to_string(problem.line) + severity + problem.message + "\n";
    }
    return text;
}

inline ConfigLoad load_conf(std::string_view text) { return load_config_text(text, kConfPath); }
inline ConfigLoad load_yaml(std::string_view text) { return load_config_text(text, kYamlPath); }

// The text follows kLeast, so the text's first line is line 4.
inline ConfigLoad load_after_least(std::string_view text) { return load_conf(std::string(kLeast) + std::string(text)); }

} // namespace pgbalancer::test
