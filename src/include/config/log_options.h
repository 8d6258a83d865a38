// log_options.h: the part of a configuration that is about the process's log, as log_configure() takes it. Any
// process, at its start and after a reload.
#pragma once

#include "common/log.h"
#include "config/config.h"

namespace pgbalancer {

inline LogOptions log_options(const Config &config) {
    LogOptions options;
    options.destination = config.log_destination;
    options.file = config.log_file;
    options.level = config.log_min_messages;
    return options;
}

} // namespace pgbalancer
