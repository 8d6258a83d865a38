// reload.h: from the configuration file as it is now to what a running service makes of it. Supervisor only.
#pragma once

#include "common/unique_fd.h"
#include "config/config.h"

#include <optional>

namespace pgbalancer {

struct Reloaded {
    Config config; // in force from now on
    UniqueFd text; // what children get: the same file, as a sealed memfd
};

// Reads the file that `running` came from. Logs every problem, every change, and what takes a restart; applies the log
// settings to this process. Nothing: there were errors, and everything stays as it is.
std::optional<Reloaded> reload_configuration(const Config &running);

} // namespace pgbalancer
