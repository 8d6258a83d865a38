// process_title.h: what ps and /proc show of a process: "pgbalancer: worker 0".
//
// Linux shows the memory in which the kernel put argv and, right behind it, the environment. Made in
// main(); moves the environment out of the way.
#pragma once

#include <string>
#include <vector>

namespace pgbalancer {

class ProcessTitle {
  public:
    ProcessTitle(int argc, char **argv);
    ~ProcessTitle(); // gives the environment back: exit() still reads it
    ProcessTitle(const ProcessTitle &) = delete;
    ProcessTitle &operator=(const ProcessTitle &) = delete;

    // `name` is shown after "pgbalancer: ", and, cut to 15 bytes with "pgb " before it, as the thread's name.
    void set(const std::string &name);

  private:
    char *begin_ = nullptr;
    size_t size_ = 0;
    char **original_environment_ = nullptr;
    std::vector<std::string> environment_;
    std::vector<char *> environment_pointers_;
};

} // namespace pgbalancer
