// worker_fuzzing.h: what the fuzz targets that run a whole worker have in common. Each includes it once.
#pragma once

#include "common/log.h"
#include "support/model_server.h"
#include "support/worker_harness.h"

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <sys/mman.h>
#include <sys/stat.h>
#include <utility>

namespace pgbalancer::test {

// FE ED cuts an input: takes what is in front of the next cut.
inline std::string_view take_piece(std::string_view &input) {
    const size_t cut = input.find("\xfe\xed");
    const std::string_view piece = input.substr(0, cut);
    input.remove_prefix(cut == std::string_view::npos ? input.size() : cut + 2);
    return piece;
}

using Fields = std::initializer_list<std::pair<std::string_view, std::string_view>>;
inline std::string startup_packet(Fields fields) {
    std::string packet;
    MessageWriter w(packet);
    w.begin_untyped().u32(3 << 16);
    for (const auto &[name, value] : fields) {
        w.string(name).string(value);
    }
    w.u8(0).end();
    return packet;
}

// A file that a configuration can name, and that goes with the process.
class MemoryFile {
  public:
    explicit MemoryFile(std::string_view text) : fd_(memfd_create("test", MFD_CLOEXEC)) {
        require(fd_ && fchmod(fd_.get(), 0600) == 0 &&
                    write(fd_.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size()),
                "a file in memory");
    }
    std::string path() const { return "/proc/self/fd/" + std::to_string(fd_.get()); }

  private:
    UniqueFd fd_;
};

// Whoever comes now is answered as by a server of its own, whatever those before it did. They have to be gone.
inline void check_newcomer(WorkerHarness &harness, std::string_view user) {
    std::string words = startup_packet({{"user", user}, {"work_mem", "newcomer"}});
    append_query(words, "SHOW work_mem");
    MessageWriter w(words);
    w.begin('P').string("a").string("SELECT 1").u16(0).end();
    w.begin('B').string("").string("a").u16(0).u16(0).u16(0).end();
    w.begin('E').string("").u32(0).end();
    w.begin('S').end();
    ModelServer alone;
    Transcript expected;
    expected.take(alone.take(words));

    WorkerHarness::Client &client = harness.connect();
    client.send(words);
    harness.pass(WorkerHarness::kAWhile);
    if (client.heard().entries() != expected.entries()) {
        client.heard().print("heard: ");
        expected.print("expected: ");
        require(false, "a newcomer is served");
    }
    client.hang_up();
}

} // namespace pgbalancer::test

extern "C" int LLVMFuzzerInitialize(int *, char ***) {
    using namespace pgbalancer;
    // Lines are made, but go nowhere.
    return log_configure({.destination = LogDestination::file, .file = "/dev/null", .level = LogLevel::debug}) ? 0 : 1;
}

// A worker for each input is much memory to keep from being used again.
extern "C" const char *__asan_default_options() { return "quarantine_size_mb=16"; }
