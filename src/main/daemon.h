// daemon.h: leaving the terminal, and telling the process that was started by hand how it went.
#pragma once

#include "common/result.h"
#include "common/unique_fd.h"

#include <string>
#include <string_view>

namespace pgbalancer {

// The daemon's line to the process that waits for it. Empty in a process that stays in the foreground.
class StartNotice {
  public:
    StartNotice() = default;
    explicit StartNotice(UniqueFd pipe) : pipe_(std::move(pipe)) {}
    // The exit code the waiting process shall end with, and what it shall print to standard error. Only the first
    // call counts; if the daemon ends without any, the waiting process says so and ends with 1.
    void tell(int exit_code, std::string_view message = {});

  private:
    UniqueFd pipe_;
};

// Returns in the daemon, which has no terminal and no standard streams any more. The calling process stays behind,
// waits for what the notice tells, and exits.
Result<StartNotice> become_daemon();

// Standard input and output become /dev/null, and standard error `error_file` (appended to) or, if that is empty,
// /dev/null: otherwise whoever reads our output would wait for its end as long as the service runs.
Status detach_standard_streams(const std::string &error_file);

} // namespace pgbalancer
