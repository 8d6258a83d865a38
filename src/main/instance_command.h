// instance_command.h: stop, reload, status: what a second invocation does to the running service. Finds it through the
// pid file's lock, signals it, and waits where there is something to wait for. Each returns the process's exit code and
// prints for people.
#pragma once

#include "config/config.h"
#include "main/control_message.h"

#include <chrono>

namespace pgbalancer {

// 0 = it has stopped, or did not run; 1 = it could not be told to, or did not stop within the time-out.
int stop_instance(const Config &config, ShutDownMode mode, std::chrono::seconds timeout);

// 0 = told; 1 = it does not run. The caller has validated the configuration.
int reload_instance(const Config &config);

// 0 = runs, 3 = does not, 4 = cannot tell.
int show_instance_status(const Config &config);

} // namespace pgbalancer
