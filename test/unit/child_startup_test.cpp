// First packets: what PostgreSQL takes is taken and read alike, everything else is refused.
#include "child/startup.h"
#include "child/wire.h"

#include <vector>

#include "unit/cmocka_cpp.h"

namespace {

using namespace pgbalancer;
using namespace std::literals;

constexpr uint32_t kVersion3 = 3 << 16;

std::string packet(uint32_t code, std::string_view body) {
    std::string out;
    MessageWriter(out).begin_untyped().u32(code).bytes(body).end();
    return out;
}

// What a packet says, in one line; an error as its SQLSTATE.
std::string read(std::string_view bytes) {
    const std::vector<char> exact(bytes.begin(), bytes.end()); // nothing readable behind it
    const auto first = read_first_packet({exact.data(), exact.size()});
    if (!first) {
        return first.error().sqlstate;
    }
    if (std::holds_alternative<EncryptionRequest>(*first)) {
        return "encryption";
    }
    if (const auto *cancel = std::get_if<CancelRequest>(&*first)) {
        return "cancel " + std::to_string(cancel->pid) + " " + std::to_string(cancel->secret);
    }
    const auto &startup = std::get<StartupMessage>(*first);
    std::string out = "3." + std::to_string(startup.minor) + " user=" + startup.user + " database=" + startup.database;
    if (startup.replication || !startup.replication_value.empty()) {
        out += std::string(startup.replication ? " walsender=" : " no-walsender=") + startup.replication_value;
    }
    for (const auto &[name, value] : startup.settings) {
        out += " " + name + "=" + value;
    }
    for (const auto &name : startup.unknown_protocol_options) {
        out += " unknown:" + name;
    }
    return out;
}

std::string read_body(std::string_view body) { return read(packet(kVersion3, body)); }

void a_length_is_believed_only_within_bounds(void **) {
    const std::pair<uint32_t, bool> cases[] = {
        {0, false},          {1, false},          {4, false},          {7, false},     {8, true},
        {9, true},           {16, true},          {10000, true},       {10005, false}, {0x7fffffff, false},
        {0x80000000, false}, {0x80000008, false}, {UINT32_MAX, false},
    };
    for (const auto &[length, good] : cases) {
        char bytes[4];
        write_u32(bytes, length);
        const auto got = startup_length({bytes, sizeof bytes});
        const std::string sqlstate = got ? "" : got.error().sqlstate;
        assert_int_equal(static_cast<bool>(got), good);
        assert_true(good ? *got == length : sqlstate == "08P01");
    }
}

void codes_tell_packets_apart(void **) {
    constexpr uint32_t kCancel = 80877102;
    constexpr uint32_t kSsl = 80877103;
    constexpr uint32_t kGss = 80877104;
    struct Case {
        uint32_t code;
        std::string_view body;
        const char *expected;
    };
    const Case cases[] = {
        {kSsl, ""sv, "encryption"},
        {kGss, ""sv, "encryption"},
        {kSsl, "x"sv, "08P01"},
        {kGss, "user\0bob\0\0"sv, "08P01"},
        {kCancel, "\0\0\1\2\xff\xff\xff\xff"sv, "cancel 258 4294967295"},
        {kCancel, "\0\0\1\2\xff\xff\xff"sv, "08P01"},
        {kCancel, "\0\0\1\2\xff\xff\xff\xff\0"sv, "08P01"},
        {kCancel, ""sv, "08P01"},
        {kVersion3, "user\0bob\0\0"sv, "3.0 user=bob database=bob"},
        {kVersion3 + 2, "user\0bob\0\0"sv, "3.2 user=bob database=bob"},
        {kVersion3 + 9999, "user\0bob\0\0"sv, "3.9999 user=bob database=bob"},
        {2 << 16, "user\0bob\0\0"sv, "0A000"},
        {4 << 16, "user\0bob\0\0"sv, "0A000"},
        {80877105, ""sv, "0A000"},
        {0, "user\0bob\0\0"sv, "0A000"},
        {UINT32_MAX, "user\0bob\0\0"sv, "0A000"},
    };
    for (const Case &c : cases) {
        const std::string got = read(packet(c.code, c.body));
        assert_string_equal(got.c_str(), c.expected);
    }
}

void startup_messages_are_read(void **) {
    const std::string long_name(70, 'n');
    const std::string cut(63, 'n');
    const std::pair<std::string, std::string> cases[] = {
        {"user\0bob\0database\0d\0\0"s, "3.0 user=bob database=d"},
        {"database\0d\0user\0bob\0\0"s, "3.0 user=bob database=d"},
        {"user\0bob\0database\0\0\0"s, "3.0 user=bob database=bob"},
        {"user\0bob\0user\0eve\0\0"s, "3.0 user=eve database=eve"},
        {"user\0bob\0TimeZone\0UTC\0search_path\0a, b\0\0"s, "3.0 user=bob database=bob TimeZone=UTC search_path=a, b"},
        {"user\0bob\0application_name\0\0\0"s, "3.0 user=bob database=bob application_name="},
        {"user\0bob\0a.b\0c\0\0"s, "3.0 user=bob database=bob a.b=c"},
        // `options` is applied first, wherever it stands.
        {"user\0bob\0geqo\0off\0options\0-c geqo=on --work-mem=1MB\0\0"s,
         "3.0 user=bob database=bob geqo=on work_mem=1MB geqo=off"},
        {"user\0bob\0options\0\0\0"s, "3.0 user=bob database=bob"},
        {"user\0bob\0options\0-i\0\0"s, "0A000"},
        {"user\0bob\0_pq_.compression\0on\0_pq_.\0x\0\0"s,
         "3.0 user=bob database=bob unknown:_pq_.compression unknown:_pq_."},
        {"user\0"s + long_name + "\0database\0"s + long_name + "\0\0"s, "3.0 user=" + cut + " database=" + cut},
    };
    for (const auto &[body, expected] : cases) {
        const std::string got = read_body(body);
        assert_string_equal(got.c_str(), expected.c_str());
    }
}

void malformed_layouts_are_refused(void **) {
    const std::pair<std::string_view, const char *> cases[] = {
        {""sv, "08P01"},
        {"\0"sv, "28000"}, // well-formed, but says nothing
        {"x"sv, "08P01"},
        {"user"sv, "08P01"},
        {"user\0"sv, "08P01"},
        {"user\0bob"sv, "08P01"},
        {"user\0bob\0"sv, "08P01"},
        {"user\0\0"sv, "08P01"},
        {"user\0\0\0"sv, "28000"},
        {"database\0d\0\0"sv, "28000"},
        {"user\0bob\0\0\0"sv, "08P01"},
        {"user\0bob\0\0x"sv, "08P01"},
        {"user\0bob\0\0x\0"sv, "08P01"},
        {"\0user\0bob\0\0"sv, "08P01"},
        {"user\0bob\0database\0\0"sv, "08P01"},
    };
    for (const auto &[body, expected] : cases) {
        const std::string got = read_body(body);
        assert_string_equal(got.c_str(), expected);
    }
}

void no_packet_cut_short_is_taken(void **) {
    const std::string_view body = "user\0bob\0database\0d\0options\0-c a=b\0_pq_.x\0y\0geqo\0\0\0"sv;
    const std::string whole = read_body(body);
    size_t refused = 0;
    for (size_t size = 0; size < body.size(); size++) {
        refused += read_body(body.substr(0, size)) == "08P01" ? 1 : 0;
    }
    assert_string_equal(whole.c_str(), "3.0 user=bob database=d a=b geqo= unknown:_pq_.x");
    assert_int_equal(refused, body.size());
}

// parse_bool() and "database"
void replication_is_read_as_a_boolean(void **) {
    struct Case {
        std::string_view value;
        const char *expected;
    };
    const Case cases[] = {
        {"true", "walsender"},
        {"TRUE", "walsender"},
        {"t", "walsender"},
        {"Tr", "walsender"},
        {"yes", "walsender"},
        {"y", "walsender"},
        {"on", "walsender"},
        {"ON", "walsender"},
        {"1", "walsender"},
        {"database", "walsender"},
        {"false", "no-walsender"},
        {"fal", "no-walsender"},
        {"no", "no-walsender"},
        {"N", "no-walsender"},
        {"off", "no-walsender"},
        {"of", "no-walsender"},
        {"0", "no-walsender"},
        {"o", nullptr},
        {"", nullptr},
        {"truely", nullptr},
        {"2", nullptr},
        {"10", nullptr},
        {"Database", nullptr},
        {" true", nullptr},
        {"onn", nullptr},
        {"offf", nullptr},
        {"physical", nullptr},
    };
    for (const Case &c : cases) {
        const std::string got = read_body("user\0bob\0replication\0"s + std::string(c.value) + "\0\0"s);
        const std::string expected =
            c.expected == nullptr ? "22023"
                                  : "3.0 user=bob database=bob " + std::string(c.expected) + "=" + std::string(c.value);
        assert_string_equal(got.c_str(), expected.c_str());
    }
}

void a_walsenders_options_are_passed_on_as_they_are(void **) {
    const std::string bytes = packet(kVersion3, "user\0bob\0options\0-i anything\0replication\0true\0geqo\0off\0\0"sv);
    const auto first = read_first_packet(bytes);
    const auto *startup = first ? std::get_if<StartupMessage>(&*first) : nullptr;
    const bool as_it_is = startup != nullptr && startup->raw_options == "-i anything" && startup->settings.size() == 1;
    assert_true(as_it_is);
}

// As pg_split_opts() and ParseLongOption() read them
void options_are_split_as_postgresql_does(void **) {
    const std::pair<std::string_view, const char *> cases[] = {
        {"", ""},
        {" \t\n\v\f\r", ""},
        {"-c a=b", "[a=b]"},
        {"-ca=b", "[a=b]"},
        {"--a=b", "[a=b]"},
        {"  -c   a=b\t--c=d ", "[a=b][c=d]"},
        {"-c a=b -c a=c", "[a=b][a=c]"},
        {"--search-path=x", "[search_path=x]"},
        {"-c search-path=x-y", "[search_path=x-y]"},
        {"-c a=", "[a=]"},
        {"-c a=b=c", "[a=b=c]"},
        {"-c a=b\\ c", "[a=b c]"},
        {"-c a=\\\\", "[a=\\]"},
        {"-c a=\\b", "[a=b]"},
        {"-c a=x\\\ty", "[a=x\ty]"},
        {"-c a=x\\  -c b=y", "[a=x ][b=y]"},
        {"-c\\ a=b", "[ a=b]"},
        {"-c app.user='it''s'", "[app.user='it''s']"},
        {"-c", "42601"},
        {"-c a", "42601"},
        {"--a", "42601"},
        {"-c =b", "42601"},
        {"-c a=b -c", "42601"},
        {"--", "42601"},
        {"a=b", "0A000"},
        {"-c a=b c", "0A000"},
        {"-d 5", "0A000"},
        {"-", "0A000"},
        {"\\-c", "42601"},
    };
    for (const auto &[options, expected] : cases) {
        const std::vector<char> exact(options.begin(), options.end());
        const auto read = read_options({exact.data(), exact.size()});
        std::string got;
        if (read) {
            for (const auto &[name, value] : *read) {
                got += "[" + name + "=" + value + "]";
            }
        } else {
            got = read.error().sqlstate;
        }
        if (got != expected) {
            print_error("%s\n", std::string(options).c_str());
        }
        assert_string_equal(got.c_str(), expected);
    }
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(a_length_is_believed_only_within_bounds),
        cmocka_unit_test(codes_tell_packets_apart),
        cmocka_unit_test(startup_messages_are_read),
        cmocka_unit_test(malformed_layouts_are_refused),
        cmocka_unit_test(no_packet_cut_short_is_taken),
        cmocka_unit_test(replication_is_read_as_a_boolean),
        cmocka_unit_test(a_walsenders_options_are_passed_on_as_they_are),
        cmocka_unit_test(options_are_split_as_postgresql_does),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
