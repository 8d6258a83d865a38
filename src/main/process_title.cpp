#include "main/process_title.h"

#include <algorithm>
#include <cstring>
#include <sys/prctl.h>
#include <unistd.h>

namespace pgbalancer {

ProcessTitle::ProcessTitle(int argc, char **argv) {
    if (argc < 1) {
        return;
    }
    begin_ = argv[0];
    char *end = begin_;
    // Only what follows without a gap belongs to the same memory.
    auto extend = [&end](char *text) {
        if (text == end) {
            end += strlen(text) + 1;
        }
    };
    for (int i = 0; i < argc; i++) {
        extend(argv[i]);
    }
    for (char **variable = environ; *variable != nullptr; variable++) {
        extend(*variable);
        environment_.emplace_back(*variable);
    }
    size_ = static_cast<size_t>(end - begin_);
    for (std::string &variable : environment_) {
        environment_pointers_.push_back(variable.data());
    }
    environment_pointers_.push_back(nullptr);
    original_environment_ = environ;
    environ = environment_pointers_.data();
}

ProcessTitle::~ProcessTitle() {
    if (original_environment_ != nullptr) {
        environ = original_environment_;
    }
}

void ProcessTitle::set(const std::string &name) {
    if (size_ > 0) {
        const std::string title = "pgbalancer: " + name;
        const size_t shown = std::min(title.size(), size_ - 1);
        memset(begin_, 0, size_);
        memcpy(begin_, title.data(), shown);
    }
    prctl(PR_SET_NAME, ("pgb " + name).c_str());
}

} // namespace pgbalancer
