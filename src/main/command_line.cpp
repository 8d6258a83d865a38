#include "main/command_line.h"

#include <charconv>
#include <getopt.h>
#include <optional>
#include <string_view>
#include <vector>

namespace pgbalancer {

const char *const kHelpText =
    R"(pgbalancer: PostgreSQL connection pooler and load balancer

Usage:
  pgbalancer [-f FILE] [-n]                       serve
  pgbalancer [-f FILE] stop [-m MODE] [-t SECS]   stop the running one
  pgbalancer [-f FILE] reload                     make it read its configuration again
  pgbalancer [-f FILE] status                     tell whether it runs (exit code 0 or 3)
  pgbalancer [-f FILE] check                      validate the configuration and exit

Options:
  -f, --config-file=FILE  default: /etc/pgbalancer/pgbalancer.conf
  -n, --foreground        do not become a daemon; messages go to standard error
  -m, --mode=MODE         smart: sessions end at the end of their transactions (default)
                          fast: sessions are ended at once
                          immediate: everything is killed
  -t, --timeout=SECS      how long stop waits (default: 60)
      --print-sample-config, --print-config-manual
  -V, --version, -h, --help

Signals: SIGHUP reload; SIGTERM, SIGINT, SIGQUIT stop smart, fast, immediate; SIGUSR1 reopen the log file.
)";

namespace {

enum LongOnly { kPrintSample = 256, kPrintManual };

constexpr option kOptions[] = {
    {"config-file", required_argument, nullptr, 'f'},
    {"foreground", no_argument, nullptr, 'n'},
    {"mode", required_argument, nullptr, 'm'},
    {"timeout", required_argument, nullptr, 't'},
    {"version", no_argument, nullptr, 'V'},
    {"help", no_argument, nullptr, 'h'},
    {"print-sample-config", no_argument, nullptr, kPrintSample},
    {"print-config-manual", no_argument, nullptr, kPrintManual},
    {nullptr, 0, nullptr, 0},
};

std::optional<ShutDownMode> stop_mode(std::string_view text) {
    if (text == "smart" || text == "s") {
        return ShutDownMode::smart;
    }
    if (text == "fast" || text == "f") {
        return ShutDownMode::fast;
    }
    if (text == "immediate" || text == "i") {
        return ShutDownMode::immediate;
    }
    return std::nullopt;
}

std::optional<std::chrono::seconds> seconds(std::string_view text) {
    constexpr int kMax = 1000000;
    int value = 0;
    const auto parsed = std::from_chars(text.begin(), text.end(), value);
    if (parsed.ec != std::errc{} || parsed.ptr != text.end() || value < 0 || value > kMax) {
        return std::nullopt;
    }
    return std::chrono::seconds(value);
}

std::optional<Command> command(std::string_view word) {
    if (word == "stop") {
        return Command::stop;
    }
    if (word == "reload") {
        return Command::reload;
    }
    if (word == "status") {
        return Command::status;
    }
    if (word == "check") {
        return Command::check;
    }
    return std::nullopt;
}

Error usage_error(const std::string &message) { return Error{.message = message, .sqlstate = {}}; }

} // namespace

Result<CommandLine> parse_command_line(std::span<const char *const> arguments) {
    CommandLine result;
    bool stop_option = false;
    // getopt permutes its array and keeps its place in globals.
    std::vector<char *> argv;
    for (const char *argument : arguments) {
        argv.push_back(const_cast<char *>(argument));
    }
    argv.push_back(nullptr);
    const int argc = static_cast<int>(arguments.size());
    optind = 0;
    opterr = 0;
    for (int c = 0; (c = getopt_long(argc, argv.data(), ":f:nm:t:Vh", kOptions, nullptr)) != -1;) {
        switch (c) {
        case 'f': result.config_file = optarg; break;
        case 'n': result.foreground = true; break;
        case 'm':
            if (const auto mode = stop_mode(optarg)) {
                result.stop_mode = *mode;
                stop_option = true;
                break;
            }
            return usage_error("unknown stop mode \"" + std::string(optarg) + "\": smart, fast or immediate");
        case 't':
            if (const auto timeout = seconds(optarg)) {
                result.stop_timeout = *timeout;
                stop_option = true;
                break;
            }
            return usage_error("not a number of seconds: \"" + std::string(optarg) + "\"");
        case 'V': result.command = Command::version; return result;
        case 'h': result.command = Command::help; return result;
        case kPrintSample: result.command = Command::print_sample; return result;
        case kPrintManual: result.command = Command::print_manual; return result;
        case ':': return usage_error("option " + std::string(argv[static_cast<size_t>(optind) - 1]) + " needs a value");
        default: return usage_error("unknown option " + std::string(argv[static_cast<size_t>(optind) - 1]));
        }
    }
    if (optind < argc) {
        const std::string word = argv[static_cast<size_t>(optind)];
        const auto found = command(word);
        if (!found) {
            return usage_error("unknown command \"" + word + "\"");
        }
        if (optind + 1 < argc) {
            return usage_error("one command at a time: \"" + word + "\" or \"" + argv[static_cast<size_t>(optind) + 1] +
                               "\"");
        }
        result.command = *found;
    }
    if (stop_option && result.command != Command::stop) {
        return usage_error("-m and -t belong to stop");
    }
    if (result.foreground && result.command != Command::serve) {
        return usage_error("-n is about serving");
    }
    return result;
}

} // namespace pgbalancer
