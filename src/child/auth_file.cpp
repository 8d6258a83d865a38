#include "child/auth_file.h"

#include "common/unique_fd.h"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <sys/stat.h>

namespace pgbalancer {

namespace {

constexpr size_t kMaxFileBytes = 64 * 1024 * 1024;

} // namespace

std::optional<SecretText> read_auth_file(const std::string &path, unsigned &mode, FileProblems &problems) {
    const auto failed = [&](const std::string &why) {
        problems.errors.push_back(path + ": " + why);
        return std::nullopt;
    };
    // O_NONBLOCK: opening a FIFO must not wait for a writer.
    const UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
    struct stat status {};
    if (!fd || fstat(fd.get(), &status) != 0) {
        return failed(strerror(errno));
    }
    if (!S_ISREG(status.st_mode)) {
        return failed("not a regular file");
    }
    mode = status.st_mode & 07777;
    SecretText text;
    std::vector<char, WipingAllocator<char>> chunk(64 * 1024);
    for (;;) {
        const ssize_t n = read(fd.get(), chunk.data(), chunk.size());
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return failed(strerror(errno));
        }
        if (n == 0) {
            return text;
        }
        text.append({chunk.data(), static_cast<size_t>(n)});
        if (text.view().size() > kMaxFileBytes) {
            return failed("larger than 64 MiB");
        }
    }
}

} // namespace pgbalancer
