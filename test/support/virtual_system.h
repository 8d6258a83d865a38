// virtual_system.h: what a system answers differently each time, or slowly, answered by the test: monotonic time stands
// still until it is let pass, random bytes are the same in every run, a connection to a socket ends here, whatever its
// name, and passwords are hashed quickly.
//
// Takes the place of functions of libc and OpenSSL in the whole program, for libevent too. Wall time is left alone. To
// be included by one source of a program.
#pragma once

#include "common/unique_fd.h"

#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <ctime>
#include <fcntl.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <utility>
#include <vector>

namespace pgbalancer::test {

struct VirtualSystem {
    std::chrono::nanoseconds now = std::chrono::hours(1);
    uint64_t random = 1;
    bool refuses_connections = false;
    std::vector<UniqueFd> connected; // the other ends of the connections made
};
inline VirtualSystem virtual_system;

} // namespace pgbalancer::test

extern "C" int clock_gettime(clockid_t clock, struct timespec *now) noexcept {
    if (clock != CLOCK_MONOTONIC && clock != CLOCK_MONOTONIC_COARSE) {
        return static_cast<int>(syscall(SYS_clock_gettime, clock, now));
    }
    const auto ns = pgbalancer::test::virtual_system.now.count();
    now->tv_sec = static_cast<time_t>(ns / 1000000000);
    now->tv_nsec = static_cast<long>(ns % 1000000000);
    return 0;
}

extern "C" ssize_t getrandom(void *out, size_t size, unsigned) {
    uint64_t &state = pgbalancer::test::virtual_system.random;
    for (size_t i = 0; i < size; i++) {
        state = state * 6364136223846793005 + 1442695040888963407;
        static_cast<unsigned char *>(out)[i] = static_cast<unsigned char>(state >> 56);
    }
    return static_cast<ssize_t>(size);
}

// `fd` becomes one end of a socketpair.
extern "C" int connect(int fd, const sockaddr *address, socklen_t) {
    using pgbalancer::test::virtual_system;
    if (address->sa_family != AF_UNIX) {
        abort(); // nothing is to leave this program
    }
    if (virtual_system.refuses_connections) {
        errno = ECONNREFUSED;
        return -1;
    }
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) != 0 ||
        dup3(ends[0], fd, O_CLOEXEC) < 0) {
        abort();
    }
    close(ends[0]);
    virtual_system.connected.emplace_back(ends[1]);
    return 0;
}

// A password is hashed once, not thousands of times.
extern "C" int PKCS5_PBKDF2_HMAC(const char *password, int size, const unsigned char *salt, int salt_size, int,
                                 const EVP_MD *digest, int, unsigned char *out) {
    return HMAC(digest, password, size, salt, static_cast<size_t>(salt_size), out, nullptr) != nullptr ? 1 : 0;
}
