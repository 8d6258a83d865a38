#include "main/child_process.h"

#include "common/log.h"
#include "common/unique_fd.h"
#include "main/process_title.h"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace pgbalancer {

namespace {

// No handler of the supervisor may run in a child: libevent's would write into the supervisor's own wake-up socket.
void reset_signals() {
    for (const int ignored : {SIGINT, SIGTERM, SIGQUIT, SIGHUP, SIGUSR1, SIGUSR2, SIGPIPE}) {
        signal(ignored, SIG_IGN);
    }
    signal(SIGCHLD, SIG_DFL);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, nullptr);
}

// Other children's control channels above all: as long as a copy is open, nobody sees that the supervisor has died.
// The supervisor's event loop is closed by its descriptor, never by its destructor, which would change the epoll set
// that the supervisor goes on using.
void close_others(std::vector<int> keep) {
    keep.push_back(STDERR_FILENO);
    keep.push_back(log_descriptor());
    std::ranges::sort(keep);
    unsigned from = STDERR_FILENO + 1;
    for (const int fd : keep) {
        if (fd < static_cast<int>(from)) {
            continue;
        }
        if (static_cast<unsigned>(fd) > from) {
            close_range(from, static_cast<unsigned>(fd) - 1, 0);
        }
        from = static_cast<unsigned>(fd) + 1;
    }
    close_range(from, ~0U, 0);
}

// Whether the supervisor is dead, its locks released and its children passed on. A child learns of its end by a closed
// channel, which is closed a moment before: one that ends without an order waits for that moment.
bool supervisor_died(const UniqueFd &supervisor, pid_t pid, bool ordered) {
    constexpr int kMomentMs = 1000;
    if (!supervisor) {
        return getppid() != pid; // a kernel before 5.3
    }
    pollfd state{.fd = supervisor.get(), .events = POLLIN, .revents = 0};
    return poll(&state, 1, ordered ? 0 : kMomentMs) > 0;
}

[[noreturn]] void run_child(ProcessTitle &title, const ChildSpec &spec, pid_t supervisor) {
    reset_signals();
    close_others(spec.keep);
    title.set(spec.number < 0 ? spec.role : spec.role + " " + std::to_string(spec.number));
    log_set_role(spec.role, spec.number);
    const UniqueFd watched(static_cast<int>(syscall(SYS_pidfd_open, supervisor, 0)));
    const int code = spec.body();
    if (supervisor_died(watched, supervisor, code == 0)) {
        for (const LeftFile &left : spec.left_files) {
            remove_abandoned(left, supervisor);
        }
    }
    // Not _exit(): a sanitizer reports at exit. Nothing of the supervisor's is destroyed, since its stack is not
    // unwound.
    exit(code);
}

} // namespace

Result<pid_t> fork_child(ProcessTitle &title, const ChildSpec &spec) {
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, &before);
    // What is still buffered would be written twice.
    fflush(nullptr);
    const pid_t supervisor = getpid();
    const pid_t pid = fork();
    if (pid == 0) {
        run_child(title, spec, supervisor);
    }
    const int error = errno;
    sigprocmask(SIG_SETMASK, &before, nullptr);
    if (pid < 0) {
        return Error{.message = std::string("cannot fork: ") + strerror(error), .sqlstate = {}};
    }
    return pid;
}

} // namespace pgbalancer
