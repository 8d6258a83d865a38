// service.h: from a validated configuration to a running service: everything that is made before the first fork.
#pragma once

#include "config/config_loader.h"
#include "main/daemon.h"

#include <string>

namespace pgbalancer {

class ProcessTitle;

struct ServiceEnd {
    int exit_code = 0;
    std::string failure; // why it could not start or go on; logged already
};

// `load` has a config; what it warns of is logged. Runs in the process that becomes the supervisor; returns when the
// service has ended and left nothing behind. `notice` is told when it serves. Exit code 2: it could not start (port
// taken, no directory, descriptor limit), and trying again would not help.
ServiceEnd run_service(ConfigLoad load, ProcessTitle &title, StartNotice &notice, bool daemon);

} // namespace pgbalancer
