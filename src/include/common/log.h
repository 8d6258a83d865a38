// log.h: the process's log sink, the one global besides the signal flags.
//
// Every line carries time, process role and id, level, and whatever context the caller put in the
// text (session, node). The level is checked before the arguments are formatted. Never log a
// secret, a cancel key or a bind value. Writes one line with one write(2), so lines of several
// processes do not mix in one file. Not async-signal-safe.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace pgbalancer {

enum class LogLevel : uint8_t { debug, info, notice, warning, error, fatal };
enum class LogDestination : uint8_t { standard_error, file, syslog };

struct LogOptions {
    LogDestination destination = LogDestination::standard_error;
    std::string file; // with LogDestination::file
    LogLevel level = LogLevel::notice;
    std::string syslog_ident = "pgbalancer";
    int syslog_facility = 3 << 3; // LOG_DAEMON
};

// Opens the destination. On failure the former destination stays in use and false is returned.
[[nodiscard]] bool log_configure(const LogOptions &options);
// From now on, in this process and its children, lines go to standard error whatever log_configure() is told about the
// destination: a process in the foreground.
void log_keep_standard_error();
// Opens the log file anew (after rotation). Keeps the old one when the new cannot be opened.
[[nodiscard]] bool log_reopen();
// Role and number of this process as shown in each line, such as "worker" and 0; set after fork.
void log_set_role(std::string_view role, int number = -1);
// The descriptor lines go to (so that a daemon can keep it), or -1 with syslog.
int log_descriptor();

namespace log_detail {
extern LogLevel threshold;
}
inline bool log_enabled(LogLevel level) { return level >= log_detail::threshold; }
void log_write(LogLevel level, const char *format, ...) __attribute__((format(printf, 2, 3)));

// Usage: log_at(LogLevel::warning, "node %d: %s", id, text);
#define log_at(level, ...)                                                                                             \
    do {                                                                                                               \
        if (::pgbalancer::log_enabled(level)) {                                                                        \
            ::pgbalancer::log_write((level), __VA_ARGS__);                                                             \
        }                                                                                                              \
    } while (0)

// A warning that repeats: `allow()` is true at most once per interval; `suppressed()` says how many
// were swallowed since the last one allowed and starts again from zero.
class LogThrottle {
  public:
    explicit LogThrottle(int64_t interval_ms) : interval_ms_(interval_ms) {}
    bool allow();
    uint64_t suppressed() const { return reported_; }

  private:
    int64_t interval_ms_;
    int64_t next_ms_ = 0;
    uint64_t swallowed_ = 0;
    uint64_t reported_ = 0;
};

} // namespace pgbalancer
