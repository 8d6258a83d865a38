// lock_file.h: a file that says which process has something, and goes with that process.
//
// Used for the pid file and beside each Unix-domain socket. The owner holds an fcntl(2) write lock on it: such
// a lock is not inherited by children and ends with the process, however that ends, so neither a left-over
// file nor a recycled process id can be taken for a running server. The first line is the process id in
// digits, as PostgreSQL writes it; PostgreSQL itself, which takes no lock, is recognised by that line.
//
// fcntl locks end when the owner closes *any* descriptor of the file: the owner must not open it again.
// Supervisor only, except for remove_abandoned (children) and find_owner (other processes).
#pragma once

#include "common/result.h"
#include "common/unique_fd.h"

#include <optional>
#include <string>
#include <string_view>
#include <sys/types.h>

namespace pgbalancer {

class LockFile {
  public:
    // Fails when another process has it (the message names its process id) or the file cannot be made.
    static Result<LockFile> acquire(const std::string &path, mode_t mode);

    LockFile(LockFile &&other) noexcept = default;
    LockFile &operator=(LockFile &&) = delete;
    // Removes the file, in the process that acquired it only; not one that was found and never written.
    ~LockFile();

    // Replaces the content. The text must begin with the process id.
    Status write(std::string_view text);
    const std::string &path() const { return path_; }

  private:
    LockFile(std::string path, UniqueFd fd, bool ours);

    std::string path_;
    UniqueFd fd_;
    pid_t owner_;
    bool ours_; // we made or wrote it, so it is ours to remove
};

// The process that holds the lock on this file; nothing when there is none. Error: it exists but cannot be read.
Result<std::optional<pid_t>> find_owner(const std::string &path);

// What a process that is killed leaves in the file system.
struct LeftFile {
    std::string lock;
    std::string companion; // the file that the lock is about; may be empty
};

// Removes the files of a process known to be dead, unless somebody has taken them over meanwhile.
void remove_abandoned(const LeftFile &left, pid_t dead);

} // namespace pgbalancer
