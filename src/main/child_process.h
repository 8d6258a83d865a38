// child_process.h: the fork, and what makes the new process a clean one.
//
// Supervisor only; the only place that forks once the service runs.
#pragma once

#include "common/result.h"
#include "main/lock_file.h"

#include <functional>
#include <span>
#include <string>
#include <sys/types.h>
#include <vector>

namespace pgbalancer {

class ProcessTitle;

struct ChildSpec {
    std::string role;                     // as in log lines and the process title
    int number = -1;                      // among its kind; -1 = there is only one
    std::vector<int> keep;                // descriptors it inherits besides standard input, output, error and the log
    std::function<int()> body;            // runs in the child; returns the exit code
    std::span<const LeftFile> left_files; // the child removes these when it ends because the supervisor was killed
};

// Forks. In the child: signals that a terminal or service manager sends to everybody are ignored (orders come over the
// control channel), every descriptor not named is closed, then `body` runs and the process ends. Returns in the
// parent only.
Result<pid_t> fork_child(ProcessTitle &title, const ChildSpec &spec);

} // namespace pgbalancer
