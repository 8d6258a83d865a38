// First packets: nothing is read outside of them, what is taken is what PostgreSQL would take, and means the same when
// it is written down again.
#include "child/startup.h"
#include "child/wire.h"

#include <cstdlib>
#include <vector>

namespace {

using namespace pgbalancer;

void require(bool holds) {
    if (!holds) {
        abort();
    }
}

// A heap block with nothing readable around it.
class Exact {
  public:
    explicit Exact(std::string_view bytes) : bytes_(bytes.begin(), bytes.end()) {}
    std::string_view view() const { return {bytes_.data(), bytes_.size()}; }

  private:
    std::vector<char> bytes_;
};

void check_error(const Error &error) { require(error.sqlstate.size() == 5 && !error.message.empty()); }

std::string escaped(std::string_view text) {
    std::string out;
    for (const char c : text) {
        out += '\\';
        out += c;
    }
    return out;
}

void check_options(std::string_view options) {
    const auto read = read_options(options);
    if (!read) {
        check_error(read.error());
        return;
    }
    std::string again;
    for (const auto &[name, value] : *read) {
        require(!name.empty() && name.find('-') == std::string::npos && name.find('=') == std::string::npos);
        again += " -c " + escaped(name + "=" + value);
    }
    const auto same = read_options(again);
    require(same && *same == *read);
}

void check_startup(const StartupMessage &startup) {
    require(!startup.user.empty() && startup.user.size() <= 63);
    require(!startup.database.empty() && startup.database.size() <= 63);
    require(startup.replication ? !startup.replication_value.empty() : true);
    std::string packet;
    MessageWriter w(packet);
    w.begin_untyped().u32(uint32_t{3} << 16 | startup.minor).string("user").string(startup.user);
    w.string("database").string(startup.database);
    if (!startup.replication_value.empty()) {
        w.string("replication").string(startup.replication_value);
    }
    if (startup.replication && !startup.raw_options.empty()) {
        w.string("options").string(startup.raw_options);
    }
    for (const auto &[name, value] : startup.settings) {
        require((name + value).find('\0') == std::string::npos);
        if (name.empty() || name == "user" || name == "database" || name == "options" || name == "replication" ||
            name.starts_with("_pq_.")) {
            return; // can only be said within `options`
        }
        w.string(name).string(value);
    }
    for (const auto &name : startup.unknown_protocol_options) {
        w.string(name).string("");
    }
    w.u8(0).end();
    const auto again = read_first_packet(packet);
    const auto *same = again ? std::get_if<StartupMessage>(&*again) : nullptr;
    require(same != nullptr && same->minor == startup.minor && same->user == startup.user &&
            same->database == startup.database && same->replication == startup.replication &&
            same->settings == startup.settings && same->unknown_protocol_options == startup.unknown_protocol_options);
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const Exact input({reinterpret_cast<const char *>(data), size});
    check_options(input.view());
    if (size < 4) {
        return 0;
    }
    const auto length = startup_length(input.view());
    if (!length) {
        check_error(length.error());
        return 0;
    }
    require(*length >= 8 && *length <= kMaxStartupBytes + 4);
    if (size < *length) {
        return 0;
    }
    const Exact packet(input.view().substr(0, *length));
    const auto first = read_first_packet(packet.view());
    if (!first) {
        check_error(first.error());
    } else if (const auto *startup = std::get_if<StartupMessage>(&*first)) {
        check_startup(*startup);
    } else {
        require(*length == 8 || *length == 16);
    }
    return 0;
}
