#include "common/log.h"

#include "common/clock.h"
#include "common/unique_fd.h"

#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <syslog.h>
#include <unistd.h>

namespace pgbalancer {

namespace log_detail {
LogLevel threshold = LogLevel::notice;
}

namespace {

struct Sink {
    LogDestination destination = LogDestination::standard_error;
    int fd = STDERR_FILENO;
    bool keep_standard_error = false;
    char path[4096] = "";
    char ident[64] = "pgbalancer";
    char role[32] = "main";
};
constinit Sink sink;

int open_log(const char *path) { return open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640); }

void use_file(int fd) {
    if (sink.destination == LogDestination::file && sink.fd > STDERR_FILENO) {
        close(sink.fd);
    }
    sink.fd = fd;
}

const char *level_name(LogLevel level) {
    switch (level) {
    case LogLevel::debug: return "DEBUG";
    case LogLevel::info: return "INFO";
    case LogLevel::notice: return "NOTICE";
    case LogLevel::warning: return "WARNING";
    case LogLevel::error: return "ERROR";
    case LogLevel::fatal: return "FATAL";
    }
    return "?";
}

int syslog_priority(LogLevel level) {
    switch (level) {
    case LogLevel::debug: return LOG_DEBUG;
    case LogLevel::info: return LOG_INFO;
    case LogLevel::notice: return LOG_NOTICE;
    case LogLevel::warning: return LOG_WARNING;
    case LogLevel::error: return LOG_ERR;
    case LogLevel::fatal: return LOG_CRIT;
    }
    return LOG_ERR;
}

} // namespace

bool log_configure(const LogOptions &options) {
    if (sink.keep_standard_error) {
        log_detail::threshold = options.level;
        return true;
    }
    if (options.destination == LogDestination::file) {
        if (options.file.size() >= sizeof sink.path) {
            return false;
        }
        const int fd = open_log(options.file.c_str());
        if (fd < 0) {
            return false;
        }
        use_file(fd);
        memcpy(sink.path, options.file.c_str(), options.file.size() + 1);
    } else {
        use_file(STDERR_FILENO);
        if (options.destination == LogDestination::syslog) {
            snprintf(sink.ident, sizeof sink.ident, "%s", options.syslog_ident.c_str());
            openlog(sink.ident, LOG_PID | LOG_NDELAY, options.syslog_facility);
        }
    }
    sink.destination = options.destination;
    log_detail::threshold = options.level;
    return true;
}

void log_keep_standard_error() {
    use_file(STDERR_FILENO);
    sink.destination = LogDestination::standard_error;
    sink.keep_standard_error = true;
}

bool log_reopen() {
    if (sink.destination != LogDestination::file) {
        return true;
    }
    const int fd = open_log(sink.path);
    if (fd < 0) {
        return false;
    }
    use_file(fd);
    return true;
}

void log_set_role(std::string_view role, int number) {
    if (number >= 0) {
        snprintf(sink.role, sizeof sink.role, "%.*s %d", static_cast<int>(role.size()), role.data(), number);
    } else {
        snprintf(sink.role, sizeof sink.role, "%.*s", static_cast<int>(role.size()), role.data());
    }
}

int log_descriptor() { return sink.destination == LogDestination::syslog ? -1 : sink.fd; }

void log_write(LogLevel level, const char *format, ...) {
    char line[4096];
    size_t used = 0;
    va_list args;
    va_start(args, format);
    if (sink.destination == LogDestination::syslog) {
        vsnprintf(line, sizeof line, format, args);
        syslog(syslog_priority(level), "%s: %s", sink.role, line);
        va_end(args);
        return;
    }
    const int64_t now = wall_now_us();
    const time_t seconds = now / 1000000;
    tm parts{};
    gmtime_r(&seconds, &parts);
    used = strftime(line, sizeof line, "%Y-%m-%dT%H:%M:%S", &parts);
    used += static_cast<size_t>(snprintf(line + used, sizeof line - used, ".%03dZ [%d] %s %s: ",
                                         static_cast<int>(now / 1000 % 1000), getpid(), sink.role, level_name(level)));
    const int n = vsnprintf(line + used, sizeof line - used - 1, format, args);
    va_end(args);
    used += n < 0 ? 0 : static_cast<size_t>(n);
    if (used > sizeof line - 2) {
        used = sizeof line - 2;
    }
    // One message, one line: a peer's text must not be able to forge a second one.
    for (size_t i = 0; i < used; i++) {
        if (line[i] == '\n' || line[i] == '\r') {
            line[i] = ' ';
        }
    }
    line[used++] = '\n';
    if (write(sink.fd, line, used) < 0) {
        return; // nowhere left to say so
    }
}

bool LogThrottle::allow() {
    const int64_t now = std::chrono::duration_cast<std::chrono::milliseconds>(monotonic_now()).count();
    if (now < next_ms_) {
        swallowed_++;
        return false;
    }
    next_ms_ = now + interval_ms_;
    reported_ = swallowed_;
    swallowed_ = 0;
    return true;
}

} // namespace pgbalancer
