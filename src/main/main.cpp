// main.cpp: what the program was asked for, and the way there.

#include "child/credentials.h"
#include "common/log.h"
#include "config/config_loader.h"
#include "main/command_line.h"
#include "main/daemon.h"
#include "main/instance_command.h"
#include "main/process_title.h"
#include "main/service.h"
#include "main/spawn_policy.h"

#include <climits>
#include <cstdio>
#include <cstdlib>
#include <span>

namespace pgbalancer {

namespace {

constexpr int kExitUsage = 2;
constexpr int kExitStatusUnknown = 4;

// A daemon changes its directory, so the path is made absolute first.
ConfigLoad load(const std::string &given_path) {
    char absolute[PATH_MAX];
    return load_config_file(realpath(given_path.c_str(), absolute) != nullptr ? absolute : given_path);
}

void print_problems(const ConfigLoad &load, bool warnings) {
    for (const ConfigProblem &problem : load.problems) {
        if (warnings || problem.severity == ConfigSeverity::error) {
            fprintf(stderr, "%s\n", to_string(problem).c_str());
        }
    }
}

// The files that the configuration names are read as the workers will read them.
int check(const Config &config) {
    const CredentialProblems problems = check_credentials(config);
    for (const std::string &text : problems.warnings) {
        fprintf(stderr, "%s\n", text.c_str());
    }
    for (const std::string &text : problems.errors) {
        fprintf(stderr, "%s\n", text.c_str());
    }
    if (!problems.errors.empty()) {
        return kExitDoNotRestart;
    }
    printf("%s: no errors\n", config.source_path.c_str());
    return 0;
}

int serve(ConfigLoad load, ProcessTitle &title, bool foreground) {
    if (foreground) {
        log_keep_standard_error();
        StartNotice nobody;
        return run_service(std::move(load), title, nobody, false).exit_code;
    }
    auto notice = become_daemon();
    if (!notice) {
        fprintf(stderr, "pgbalancer: cannot become a daemon: %s\n", notice.error().message.c_str());
        return 1;
    }
    const ServiceEnd end = run_service(std::move(load), title, *notice, true);
    // Heard only if it never served.
    notice->tell(end.exit_code != 0 ? end.exit_code : 1,
                 end.failure.empty() ? "stopped before it could serve" : end.failure);
    return end.exit_code;
}

int run(const CommandLine &line, ProcessTitle &title) {
    switch (line.command) {
    case Command::version: printf("pgbalancer 5.0.0\n"); return 0;
    case Command::help: fputs(kHelpText, stdout); return 0;
    case Command::print_sample: print_sample(stdout); return 0;
    case Command::print_manual: print_manual(stdout); return 0;
    default: break;
    }
    ConfigLoad loaded = load(line.config_file);
    const bool serving = line.command == Command::serve;
    print_problems(loaded, line.command == Command::check || (serving && !line.foreground));
    if (!loaded.config) {
        return line.command == Command::status ? kExitStatusUnknown : kExitDoNotRestart;
    }
    switch (line.command) {
    case Command::check: return check(*loaded.config);
    case Command::stop: return stop_instance(*loaded.config, line.stop_mode, line.stop_timeout);
    case Command::reload: return reload_instance(*loaded.config);
    case Command::status: return show_instance_status(*loaded.config);
    default: return serve(std::move(loaded), title, line.foreground);
    }
}

} // namespace

} // namespace pgbalancer

int main(int argc, char **argv) {
    const auto line = pgbalancer::parse_command_line(std::span(argv, static_cast<size_t>(argc)));
    if (!line) {
        fprintf(stderr, "pgbalancer: %s\nTry \"pgbalancer --help\".\n", line.error().message.c_str());
        return pgbalancer::kExitUsage;
    }
    pgbalancer::ProcessTitle title(argc, argv);
    return pgbalancer::run(*line, title);
}
