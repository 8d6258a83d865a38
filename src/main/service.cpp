#include "main/service.h"

#include "common/log.h"
#include "config/log_options.h"
#include "main/descriptor_limit.h"
#include "main/listeners.h"
#include "main/lock_file.h"
#include "main/spawn_policy.h"
#include "main/status_file.h"
#include "main/supervisor.h"
#include "shm/shared_state.h"

#include <cerrno>
#include <csignal>
#include <cstring>
#include <sys/stat.h>

namespace pgbalancer {

namespace {

using namespace std::chrono_literals;

// The children of a supervisor that was killed see that at once; this is how long their last turn may take. They remove
// its files, too, so nothing else may be left to tell that there was one.
constexpr auto kPredecessorPatience = 3000ms;

ServiceEnd refuse(const std::string &why) {
    log_at(LogLevel::fatal, "%s", why.c_str());
    return {.exit_code = kExitDoNotRestart, .failure = why};
}

// Until the supervisor's loop takes signals, none may end the process and leave files behind.
void hold_signals() {
    signal(SIGPIPE, SIG_IGN);
    signal(SIGUSR2, SIG_IGN);
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, nullptr);
}

Status make_directory(const std::string &path) {
    if (mkdir(path.c_str(), 0750) != 0 && errno != EEXIST) {
        return Error{.message = "cannot create work_dir \"" + path + "\": " + strerror(errno), .sqlstate = {}};
    }
    return Ok{};
}

// A daemon has no standard error; what goes there is kept in work_dir.
Status open_log(const Config &config, bool daemon) {
    if (!log_configure(log_options(config))) {
        return Error{.message = "cannot open log_file \"" + config.log_file + "\": " + strerror(errno), .sqlstate = {}};
    }
    if (daemon) {
        return detach_standard_streams(
            config.log_destination == LogDestination::standard_error ? config.work_dir + "/pgbalancer.log" : "");
    }
    return Ok{};
}

SharedStateSizes sizes_for(const Config &config) {
    return {.workers = static_cast<uint32_t>(config.num_init_children),
            .max_pool = static_cast<uint32_t>(config.max_pool),
            .sessions_per_worker = static_cast<uint32_t>(config.max_client_conn) + kSessionMargin,
            .nodes = static_cast<uint32_t>(config.backends.size())};
}

} // namespace

ServiceEnd run_service(ConfigLoad load, ProcessTitle &title, StartNotice &notice, bool daemon) {
    Config config = std::move(*load.config);
    hold_signals();
    if (Status made = make_directory(config.work_dir); !made) {
        return refuse(made.error().message);
    }
    if (Status opened = open_log(config, daemon); !opened) {
        return refuse(opened.error().message);
    }
    for (const ConfigProblem &warning : load.problems) {
        log_at(LogLevel::warning, "%s", to_string(warning).c_str());
    }
    if (Status raised = raise_descriptor_limit(config); !raised) {
        return refuse(raised.error().message);
    }
    auto pid_file = LockFile::acquire(config.pid_file_name, 0644);
    if (!pid_file) {
        return refuse(pid_file.error().message);
    }
    if (Status written = pid_file->write(std::to_string(getpid()) + "\n"); !written) {
        return refuse(written.error().message);
    }
    auto listeners = Listeners::open(config, kPredecessorPatience);
    if (!listeners) {
        return refuse(listeners.error().message);
    }
    auto shared = SharedState::create(sizes_for(config));
    if (!shared) {
        return refuse(shared.error().message);
    }
    StatusFile status_file(StatusFile::path_in(config.work_dir));
    std::vector<LeftFile> left_files = listeners->left_files();
    left_files.push_back({.lock = pid_file->path(), .companion = status_file.path()});

    Supervisor supervisor(std::move(config), {.shared = *shared,
                                              .listeners = *listeners,
                                              .status_file = status_file,
                                              .title = title,
                                              .notice = notice,
                                              .left_files = std::move(left_files)});
    const int exit_code = supervisor.run();
    return {.exit_code = exit_code, .failure = supervisor.failure()};
}

} // namespace pgbalancer
