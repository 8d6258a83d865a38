#include "main/status_file.h"

#include "common/unique_fd.h"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <utility>

namespace pgbalancer {

StatusFile::StatusFile(std::string path) : path_(std::move(path)), owner_(getpid()) {}

StatusFile::~StatusFile() {
    if (owner_ == getpid()) {
        unlink(path_.c_str());
    }
}

Status StatusFile::write(const std::string &text) const {
    const std::string fresh = path_ + ".new";
    const UniqueFd fd(open(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
    if (!fd || ::write(fd.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size()) ||
        rename(fresh.c_str(), path_.c_str()) != 0) {
        return Error{.message = "cannot write \"" + path_ + "\": " + strerror(errno), .sqlstate = {}};
    }
    return Ok{};
}

} // namespace pgbalancer
