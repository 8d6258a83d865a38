#include "common/random.h"

#include <cerrno>
#include <cstdlib>
#include <sys/random.h>

namespace pgbalancer {

void random_bytes(std::span<unsigned char> out) {
    while (!out.empty()) {
        const ssize_t n = getrandom(out.data(), out.size(), 0);
        if (n < 0) {
            if (errno == EINTR) {
                continue;
            }
            abort();
        }
        out = out.subspan(static_cast<size_t>(n));
    }
}

uint32_t random_u32() {
    uint32_t v = 0;
    random_bytes({reinterpret_cast<unsigned char *>(&v), sizeof v});
    return v;
}

uint64_t random_u64() {
    uint64_t v = 0;
    random_bytes({reinterpret_cast<unsigned char *>(&v), sizeof v});
    return v;
}

} // namespace pgbalancer
