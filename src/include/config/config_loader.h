// config_loader.h: from the text of a configuration file to a validated Config; comparing two of them;
// and what the parameter table says about itself.
//
// Used by the supervisor (start, reload, `check`, the --print options) and by children that are handed the
// text of a reload. Nothing here logs, exits or keeps state; every call may read files named below, and
// nothing else. A name ending in .yaml or .yml is read as YAML, any other as `key = value`.
//
// All problems are collected: one call shows the administrator everything there is to correct. With at least
// one error there is no Config; warnings alone do not prevent one.
#pragma once

#include "config/config.h"

#include <cstdio>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pgbalancer {

enum class ConfigSeverity : uint8_t { warning, error };

struct ConfigProblem {
    std::string file;    // as given by the caller
    int line = 0;        // from 1; 0 = about the file as a whole
    std::string message; // one sentence without a full stop; never contains a secret
    ConfigSeverity severity = ConfigSeverity::error;
};

// "file:line: error: message", the form `check` prints.
std::string to_string(const ConfigProblem &problem);

struct ConfigLoad {
    std::optional<Config> config;        // set when no problem is an error
    std::vector<ConfigProblem> problems; // in the order of their lines
    std::string text;                    // what was read, to be passed on to load_config_text elsewhere
};

// Reads and validates the file, and checks that the files it names (pool_passwd, pool_hba_file) can be read.
ConfigLoad load_config_file(const std::string &path);

// The same for a text already read. `path` serves for messages, for the syntax (by its ending) and as the place
// relative paths start from; neither it nor any file named in the text is opened, so a child can repeat what the
// supervisor validated even when it may not read those files.
ConfigLoad load_config_text(std::string_view text, const std::string &path);

// --- Reload ---

struct ParameterChange {
    std::string name;
    std::string from; // as parameter_value() shows it, so secrets are masked; empty for a node that is new
    std::string to;   // empty for a node that is gone
    bool reloadable = false;
};

// Every parameter whose value differs, in the order of the manual. A node that comes or goes counts as a change of
// its backend_hostnameN.
std::vector<ParameterChange> changed_parameters(const Config &running, const Config &next);

// The names among them that a reload cannot bring into force.
std::vector<std::string> changes_needing_restart(const Config &running, const Config &next);

// `running` with every reloadable parameter taken from `next`: what is in force after the reload.
Config reloadable_part(const Config &running, const Config &next);

// --- The table about itself ---

// The value as it could stand in the file, without quotes; secrets as "********". Nothing for an unknown name or a
// node that is not configured.
std::optional<std::string> parameter_value(const Config &config, std::string_view name);

struct ParameterStatus {
    std::string name;  // with the node number where there is one
    std::string value; // as parameter_value()
    std::string default_value;
    std::string_view help; // one line; static
    bool reloadable = false;
    bool keeps_backslashes = false; // in quotes in a file: they are no escapes
};

// Every parameter of this configuration, in the order of the manual (SHOW POOL_STATUS, GET config).
std::vector<ParameterStatus> describe_parameters(const Config &config);

void print_sample(std::FILE *out); // conf/pgbalancer.conf.sample
void print_manual(std::FILE *out); // doc/CONFIGURATION.md

} // namespace pgbalancer
