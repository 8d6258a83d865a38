// The seqlock between real processes: no torn value, nobody waits for a writer that was killed.
#include "shm/seqlock.h"

#include <boost/interprocess/anonymous_shared_memory.hpp>
#include <csignal>
#include <new>
#include <sys/wait.h>
#include <unistd.h>

#include "unit/cmocka_cpp.h"

namespace {

using namespace pgbalancer;

// Every word says the same number, so that a value put together from two writes gives itself away.
struct Sample {
    uint64_t words[40];
    bool whole() const {
        for (const uint64_t word : words) {
            if (word != words[0]) {
                return false;
            }
        }
        return true;
    }
};

Sample sample(uint64_t number) {
    Sample value{};
    for (uint64_t &word : value.words) {
        word = number;
    }
    return value;
}

struct Shared {
    SeqlockShm<Sample> value;
    std::atomic<bool> stop{false};
};

class SharedMemory {
  public:
    SharedMemory()
        : region_(boost::interprocess::anonymous_shared_memory(sizeof(Shared))),
          shared_(new (region_.get_address()) Shared) {}
    Shared *operator->() { return shared_; }

  private:
    boost::interprocess::mapped_region region_;
    Shared *shared_;
};

void nothing_is_read_before_a_write(void **) {
    SeqlockShm<Sample> lock;
    Sample value{};
    const bool before = lock.read(value);
    lock.write(sample(7));
    const bool after = lock.read(value);
    assert_false(before);
    assert_true(after);
    assert_true(value.whole() && value.words[0] == 7);
}

void readers_never_see_half_a_write(void **) {
    SharedMemory shared;
    const pid_t writer = fork();
    if (writer == 0) {
        for (uint64_t number = 1; !shared->stop.load(); number++) {
            shared->value.write(sample(number));
        }
        _exit(0);
    }
    int torn = 0;
    int backwards = 0;
    uint64_t last = 0;
    // By then the two have run at the same time for long enough.
    while (last < 3000000) {
        Sample value{};
        if (shared->value.read(value)) {
            torn += value.whole() ? 0 : 1;
            backwards += value.words[0] < last ? 1 : 0;
            last = value.words[0];
        }
    }
    shared->stop.store(true);
    waitpid(writer, nullptr, 0);
    assert_int_equal(torn, 0);
    assert_int_equal(backwards, 0);
}

// Kills writers until one was in the middle of it; then the next writer must repair what it left.
void a_writer_killed_half_way_does_no_lasting_harm(void **) {
    SharedMemory shared;
    bool caught = false;
    bool repaired = true;
    for (int round = 0; round < 2000 && !caught; round++) {
        const pid_t writer = fork();
        if (writer == 0) {
            for (uint64_t number = 1;; number++) {
                shared->value.write(sample(number));
            }
        }
        // Far enough for the death to fall anywhere in its loop.
        Sample value{};
        while (!shared->value.read(value) || value.words[0] < 1000) {
        }
        kill(writer, SIGKILL);
        waitpid(writer, nullptr, 0);
        caught = !shared->value.read(value);
        shared->value.write(sample(42));
        repaired = repaired && shared->value.read(value) && value.whole() && value.words[0] == 42;
    }
    assert_true(caught);
    assert_true(repaired);
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_read_before_a_write),
        cmocka_unit_test(readers_never_see_half_a_write),
        cmocka_unit_test(a_writer_killed_half_way_does_no_lasting_harm),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
