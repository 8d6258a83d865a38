// listeners.h: the sockets that clients connect to.
//
// Bound and listening before the first fork, so that "port taken" is known before anything runs and every
// worker, replacements included, accepts on the same sockets. Supervisor only; children inherit the
// descriptors and never use this object. Descriptors are close-on-exec and non-blocking.
#pragma once

#include "common/result.h"
#include "common/unique_fd.h"
#include "config/config.h"
#include "main/lock_file.h"

#include <chrono>
#include <string>
#include <vector>

namespace pgbalancer {

class Listeners {
  public:
    // `patience`: how long to wait for a port or a socket that is taken, for when the children of a predecessor that
    // was killed may still be about to end. Fails when an address, or the socket in a directory, cannot be had.
    static Result<Listeners> open(const Config &config, std::chrono::milliseconds patience);

    std::vector<int> descriptors() const;
    // For people: "127.0.0.1:9999, [::1]:9999, /tmp/.s.PGSQL.9999".
    std::string description() const;

    // Removes the Unix-domain sockets and stops listening, in the children too: new connections are refused from now
    // on.
    void close();
    // What stays behind if this process is killed.
    std::vector<LeftFile> left_files() const;

  private:
    // A socket in the file system; its lock file outlives it.
    struct UnixSocket {
        LockFile lock;
        std::string path;
        pid_t owner;
        bool bound = false;

        UnixSocket(LockFile lock_file, std::string socket_path);
        UnixSocket(UnixSocket &&other) noexcept;
        UnixSocket &operator=(UnixSocket &&) = delete;
        ~UnixSocket();
    };
    struct Socket {
        UniqueFd fd;
        std::string name;
    };

    Status open_tcp(const Config &config, const std::string &address, std::chrono::nanoseconds deadline);
    Status open_unix(const Config &config, const std::string &directory, std::chrono::nanoseconds deadline);

    std::vector<UnixSocket> unix_sockets_;
    std::vector<Socket> sockets_;
};

} // namespace pgbalancer
