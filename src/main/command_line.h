// command_line.h: what the program was asked to do. No effects, no output.
#pragma once

#include "common/result.h"
#include "main/control_message.h"

#include <chrono>
#include <span>
#include <string>

namespace pgbalancer {

enum class Command : uint8_t { serve, stop, reload, status, check, version, help, print_sample, print_manual };

struct CommandLine {
    Command command = Command::serve;
    std::string config_file = "/etc/pgbalancer/pgbalancer.conf";
    bool foreground = false;                      // serve
    ShutDownMode stop_mode = ShutDownMode::smart; // stop
    std::chrono::seconds stop_timeout{60};        // stop
};

// `arguments` begins with the program's name, as argv does.
Result<CommandLine> parse_command_line(std::span<const char *const> arguments);

extern const char *const kHelpText;

} // namespace pgbalancer
