#include "main/lock_file.h"

#include <cerrno>
#include <charconv>
#include <cstring>
#include <fcntl.h>
#include <sys/stat.h>
#include <utility>

namespace pgbalancer {

namespace {

Error file_error(const std::string &path, const char *what) {
    return Error{.message = std::string(what) + " \"" + path + "\": " + strerror(errno), .sqlstate = {}};
}

struct flock whole_file() {
    struct flock lock {};
    lock.l_type = F_WRLCK;
    lock.l_whence = SEEK_SET;
    return lock;
}

bool try_lock(const UniqueFd &fd) {
    struct flock lock = whole_file();
    return fcntl(fd.get(), F_SETLK, &lock) == 0;
}

// 0 = the first line is not a process id.
pid_t read_pid(const UniqueFd &fd) {
    char text[32];
    const ssize_t n = pread(fd.get(), text, sizeof text, 0);
    pid_t pid = 0;
    if (n > 0 && std::from_chars(text, text + n, pid).ec != std::errc{}) {
        pid = 0;
    }
    return pid;
}

// Between open and lock the former owner may have removed the file: the lock is worth something only if the
// path still leads to it.
bool still_there(const UniqueFd &fd, const std::string &path) {
    struct stat opened {};
    struct stat named {};
    return fstat(fd.get(), &opened) == 0 && stat(path.c_str(), &named) == 0 && opened.st_ino == named.st_ino &&
           opened.st_dev == named.st_dev;
}

} // namespace

LockFile::LockFile(std::string path, UniqueFd fd, bool ours)
    : path_(std::move(path)), fd_(std::move(fd)), owner_(getpid()), ours_(ours) {}

Result<LockFile> LockFile::acquire(const std::string &path, mode_t mode) {
    constexpr int kAttempts = 100;
    for (int attempt = 0; attempt < kAttempts; attempt++) {
        UniqueFd fd(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, mode));
        if (!fd) {
            return file_error(path, "cannot create");
        }
        if (!try_lock(fd)) {
            return Error{.message = "\"" + path + "\" belongs to the running process " + std::to_string(read_pid(fd)),
                         .sqlstate = {}};
        }
        if (!still_there(fd, path)) {
            continue;
        }
        struct stat info {};
        // What has content is of a process that did not end in good order, or that takes no lock.
        const bool found = fstat(fd.get(), &info) == 0 && info.st_size > 0;
        return LockFile(path, std::move(fd), !found);
    }
    return Error{.message = "\"" + path + "\" keeps disappearing", .sqlstate = {}};
}

LockFile::~LockFile() {
    if (fd_ && ours_ && owner_ == getpid()) {
        unlink(path_.c_str());
    }
}

Status LockFile::write(std::string_view text) {
    if (pwrite(fd_.get(), text.data(), text.size(), 0) != static_cast<ssize_t>(text.size()) ||
        ftruncate(fd_.get(), static_cast<off_t>(text.size())) != 0) {
        return file_error(path_, "cannot write");
    }
    ours_ = true;
    return Ok{};
}

Result<std::optional<pid_t>> find_owner(const std::string &path) {
    const UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!fd) {
        if (errno == ENOENT) {
            return std::optional<pid_t>{};
        }
        return file_error(path, "cannot open");
    }
    struct flock lock = whole_file();
    if (fcntl(fd.get(), F_GETLK, &lock) != 0) {
        return file_error(path, "cannot look at the lock of");
    }
    if (lock.l_type == F_UNLCK) {
        return std::optional<pid_t>{};
    }
    // l_pid is 0 when the owner is in another process id namespace.
    return std::optional(lock.l_pid > 0 ? lock.l_pid : read_pid(fd));
}

void remove_abandoned(const LeftFile &left, pid_t dead) {
    const UniqueFd fd(open(left.lock.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW));
    if (!fd || !try_lock(fd) || !still_there(fd, left.lock) || read_pid(fd) != dead) {
        return;
    }
    if (!left.companion.empty()) {
        unlink(left.companion.c_str());
    }
    unlink(left.lock.c_str());
}

} // namespace pgbalancer
