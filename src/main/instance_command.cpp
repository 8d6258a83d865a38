#include "main/instance_command.h"

#include "common/unique_fd.h"
#include "main/lock_file.h"
#include "main/status_file.h"

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <optional>
#include <poll.h>
#include <string>
#include <sys/syscall.h>
#include <unistd.h>

namespace pgbalancer {

namespace {

constexpr int kNotRunning = 3;
constexpr int kUnknown = 4;

struct Instance {
    pid_t pid;
    UniqueFd process; // pidfd: cannot come to mean another process
};

// glibc's own (2.36) cannot be called from C++: its header lacks extern "C".
int pidfd_open(pid_t pid) { return static_cast<int>(syscall(SYS_pidfd_open, pid, 0)); }

// Prints what prevents it from being found, except that it does not run. `failed` is set then.
std::optional<Instance> find_instance(const Config &config, bool &failed) {
    failed = false;
    const auto owner = find_owner(config.pid_file_name);
    if (!owner) {
        fprintf(stderr, "pgbalancer: %s\n", owner.error().message.c_str());
        failed = true;
        return std::nullopt;
    }
    if (!*owner) {
        return std::nullopt;
    }
    Instance instance{.pid = **owner, .process = UniqueFd(pidfd_open(**owner))};
    // It still holds the lock, so the number has not changed hands before pidfd_open.
    const auto again = find_owner(config.pid_file_name);
    if (!instance.process || !again || *again != *owner) {
        return std::nullopt;
    }
    return instance;
}

int signal_of(ShutDownMode mode) {
    switch (mode) {
    case ShutDownMode::smart: return SIGTERM;
    case ShutDownMode::fast: return SIGINT;
    case ShutDownMode::immediate: return SIGQUIT;
    }
    return SIGTERM;
}

bool send_signal(const Instance &instance, int signal) {
    if (syscall(SYS_pidfd_send_signal, instance.process.get(), signal, nullptr, 0) == 0) {
        return true;
    }
    fprintf(stderr, "pgbalancer: cannot signal process %d: %s\n", instance.pid, strerror(errno));
    return false;
}

} // namespace

int stop_instance(const Config &config, ShutDownMode mode, std::chrono::seconds timeout) {
    bool failed = false;
    const auto instance = find_instance(config, failed);
    if (!instance) {
        if (!failed) {
            fprintf(stderr, "pgbalancer: not running\n");
        }
        return failed ? 1 : 0;
    }
    if (!send_signal(*instance, signal_of(mode))) {
        return 1;
    }
    // A pidfd becomes readable when its process ends.
    pollfd ended{.fd = instance->process.get(), .events = POLLIN, .revents = 0};
    if (poll(&ended, 1, static_cast<int>(std::chrono::milliseconds(timeout).count())) == 1) {
        printf("pgbalancer has stopped\n");
        return 0;
    }
    fprintf(stderr, "pgbalancer: process %d has not stopped within %lld s%s\n", instance->pid,
            static_cast<long long>(timeout.count()),
            mode == ShutDownMode::smart ? ": clients are in transactions; \"stop -m fast\" does not wait for them"
                                        : "");
    return 1;
}

int reload_instance(const Config &config) {
    bool failed = false;
    const auto instance = find_instance(config, failed);
    if (!instance) {
        if (!failed) {
            fprintf(stderr, "pgbalancer: not running\n");
        }
        return 1;
    }
    return send_signal(*instance, SIGHUP) ? 0 : 1;
}

int show_instance_status(const Config &config) {
    bool failed = false;
    const auto instance = find_instance(config, failed);
    if (!instance) {
        if (!failed) {
            printf("pgbalancer is not running\n");
        }
        return failed ? kUnknown : kNotRunning;
    }
    printf("pgbalancer is running (PID %d)\n", instance->pid);
    const UniqueFd fd(open(StatusFile::path_in(config.work_dir).c_str(), O_RDONLY | O_CLOEXEC));
    char text[4096];
    ssize_t n = 0;
    while (fd && (n = read(fd.get(), text, sizeof text)) > 0) {
        fwrite(text, 1, static_cast<size_t>(n), stdout);
    }
    return 0;
}

} // namespace pgbalancer
