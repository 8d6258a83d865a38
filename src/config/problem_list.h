// problem_list.h: collects what is wrong with one configuration file. Bounded: a file of rubbish does not fill memory
// or the terminal.
#pragma once

#include "config/config_loader.h"

#include <string>
#include <vector>

namespace pgbalancer {

class ProblemList {
  public:
    explicit ProblemList(std::string file) : file_(std::move(file)) {}

    void error(int line, std::string message) { add(line, std::move(message), ConfigSeverity::error); }
    void warning(int line, std::string message) { add(line, std::move(message), ConfigSeverity::warning); }

    bool has_errors() const { return has_errors_; }
    // By line, those about the whole file last. Leaves the list empty.
    std::vector<ConfigProblem> take();

  private:
    void add(int line, std::string message, ConfigSeverity severity);

    std::string file_;
    std::vector<ConfigProblem> problems_;
    size_t dropped_ = 0;
    bool has_errors_ = false;
};

} // namespace pgbalancer
