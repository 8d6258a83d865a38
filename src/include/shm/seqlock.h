// seqlock.h: a value one process writes and any other reads, without a lock.
//
// Lives in shared memory. One writer at a time (which one is said where it is declared); readers never
// make it wait. A reader copies the words and then looks whether the sequence moved. All accesses are
// atomic, so there is no data race to reason about; the fences are those of Boehm, "Can seqlocks get
// along with programming language memory models?" (2012). A writer that is killed half-way leaves an odd
// sequence: reads fail until the next write, which carries on from there.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

namespace pgbalancer {

template <class T> class SeqlockShm {
    static_assert(std::is_trivially_copyable_v<T>);
    static constexpr size_t kWords = (sizeof(T) + sizeof(uint64_t) - 1) / sizeof(uint64_t);

  public:
    // The single writer only.
    void write(const T &value) {
        std::array<uint64_t, kWords> raw{};
        memcpy(raw.data(), &value, sizeof value);
        const uint64_t odd = sequence_.load(std::memory_order_relaxed) | 1;
        sequence_.store(odd, std::memory_order_relaxed);
        std::atomic_thread_fence(std::memory_order_release);
        for (size_t i = 0; i < kWords; i++) {
            words_[i].store(raw[i], std::memory_order_relaxed);
        }
        sequence_.store(odd + 1, std::memory_order_release);
    }

    // Any process. False when never written, or when a writer is at work (or died at it) on every one of a few tries.
    [[nodiscard]] bool read(T &value) const {
        for (int attempt = 0; attempt < kAttempts; attempt++) {
            const uint64_t before = sequence_.load(std::memory_order_acquire);
            if (before == 0) {
                return false;
            }
            if ((before & 1) != 0) {
                continue;
            }
            std::array<uint64_t, kWords> raw;
            for (size_t i = 0; i < kWords; i++) {
                raw[i] = words_[i].load(std::memory_order_relaxed);
            }
            std::atomic_thread_fence(std::memory_order_acquire);
            if (sequence_.load(std::memory_order_relaxed) == before) {
                memcpy(static_cast<void *>(&value), raw.data(), sizeof value);
                return true;
            }
        }
        return false;
    }

  private:
    // A write takes well under a microsecond; a writer that was preempted in the middle is not worth waiting for.
    static constexpr int kAttempts = 1000;

    std::atomic<uint64_t> sequence_{0};
    std::array<std::atomic<uint64_t>, kWords> words_{};
};

} // namespace pgbalancer
