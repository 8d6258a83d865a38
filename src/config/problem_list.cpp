#include "config/problem_list.h"

#include <algorithm>
#include <limits>

namespace pgbalancer {

void ProblemList::add(int line, std::string message, ConfigSeverity severity) {
    constexpr size_t kMaxProblems = 200;
    has_errors_ |= severity == ConfigSeverity::error;
    if (problems_.size() >= kMaxProblems) {
        dropped_++;
        return;
    }
    problems_.push_back({.file = file_, .line = line, .message = std::move(message), .severity = severity});
}

std::vector<ConfigProblem> ProblemList::take() {
    std::ranges::stable_sort(problems_, {}, [](const ConfigProblem &problem) {
        return problem.line == 0 ? std::numeric_limits<int>::max() : problem.line;
    });
    if (dropped_ > 0) {
        problems_.push_back({.file = file_,
                             .line = 0,
                             .message = std::to_string(dropped_) + " further problems are not shown",
                             .severity = has_errors_ ? ConfigSeverity::error : ConfigSeverity::warning});
        dropped_ = 0;
    }
    return std::exchange(problems_, {});
}

std::string to_string(const ConfigProblem &problem) {
    std::string text = problem.file + ":";
    if (problem.line > 0) {
        text += std::to_string(problem.line) + ":";
    }
    return text + (problem.severity == ConfigSeverity::error ? " error: " : " warning: ") + problem.message;
}

} // namespace pgbalancer
