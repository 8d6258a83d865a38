#include "main/daemon.h"

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <sys/wait.h>

namespace pgbalancer {

namespace {

// What comes through the pipe: one byte, the exit code, then the message to the end of file.
[[noreturn]] void wait_for_notice(const UniqueFd &pipe, pid_t intermediate) {
    waitpid(intermediate, nullptr, 0);
    std::string notice;
    char buffer[1024];
    for (;;) {
        const ssize_t n = read(pipe.get(), buffer, sizeof buffer);
        if (n > 0) {
            notice.append(buffer, static_cast<size_t>(n));
        } else if (n == 0 || errno != EINTR) {
            break;
        }
    }
    if (notice.empty()) {
        fprintf(stderr, "pgbalancer: the daemon ended before it could serve\n");
        exit(1);
    }
    if (notice.size() > 1) {
        fprintf(stderr, "pgbalancer: %s\n", notice.c_str() + 1);
    }
    exit(static_cast<unsigned char>(notice[0]));
}

Error system_error(const char *what) {
    return Error{.message = std::string(what) + ": " + strerror(errno), .sqlstate = {}};
}

} // namespace

void StartNotice::tell(int exit_code, std::string_view message) {
    if (pipe_) {
        const std::string notice = static_cast<char>(exit_code) + std::string(message);
        // Should nobody be waiting any more, nobody wants to know either.
        [[maybe_unused]] const ssize_t n = write(pipe_.get(), notice.data(), notice.size());
    }
    pipe_.reset();
}

Result<StartNotice> become_daemon() {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) {
        return system_error("pipe");
    }
    UniqueFd reader(ends[0]);
    UniqueFd writer(ends[1]);
    fflush(nullptr);
    const pid_t intermediate = fork();
    if (intermediate < 0) {
        return system_error("fork");
    }
    if (intermediate > 0) {
        writer.reset();
        wait_for_notice(reader, intermediate);
    }
    // A session of our own has no terminal, and what is not its leader cannot get one.
    setsid();
    const pid_t daemon = fork();
    if (daemon != 0) {
        _exit(daemon < 0 ? 1 : 0);
    }
    if (chdir("/") != 0) {
        return system_error("chdir");
    }
    // Whatever our caller had open is none of ours, and somebody may wait for its last copy to be closed.
    constexpr int kFirst = STDERR_FILENO + 1;
    reader.reset();
    if (writer.get() != kFirst) {
        writer.reset(dup3(writer.get(), kFirst, O_CLOEXEC));
    }
    if (!writer || close_range(kFirst + 1, ~0U, 0) != 0) {
        return system_error("cannot close inherited descriptors");
    }
    if (Status detached = detach_standard_streams(""); !detached) {
        return detached.error();
    }
    return StartNotice(std::move(writer));
}

Status detach_standard_streams(const std::string &error_file) {
    const UniqueFd null(open("/dev/null", O_RDWR | O_CLOEXEC));
    const UniqueFd errors(error_file.empty()
                              ? open("/dev/null", O_RDWR | O_CLOEXEC)
                              : open(error_file.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640));
    if (!null || !errors) {
        return system_error(errors ? "/dev/null" : error_file.c_str());
    }
    fflush(nullptr);
    if (dup2(null.get(), STDIN_FILENO) < 0 || dup2(null.get(), STDOUT_FILENO) < 0 ||
        dup2(errors.get(), STDERR_FILENO) < 0) {
        return system_error("dup2");
    }
    return Ok{};
}

} // namespace pgbalancer
