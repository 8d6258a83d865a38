// Frames of the protocol: nothing is read that is not there, and what is written has the length it says.
#include "child/wire.h"

#include <functional>
#include <limits>
#include <memory>
#include <vector>

#include "unit/cmocka_cpp.h"

namespace {

using namespace pgbalancer;
using namespace std::literals;

// The bytes in a heap block of exactly their size: reading past them is seen by a sanitizer.
class Exact {
  public:
    explicit Exact(std::string_view bytes) : bytes_(new char[bytes.size()]), size_(bytes.size()) {
        memcpy(bytes_.get(), bytes.data(), size_);
    }
    std::string_view view() const { return {bytes_.get(), size_}; }

  private:
    std::unique_ptr<char[]> bytes_;
    size_t size_;
};

// Each message as its type, whether its length is that of its body, and the body, NULs shown as |.
std::string shown(std::string_view messages) {
    std::string out;
    while (!messages.empty()) {
        if (messages.size() < kHeaderBytes || read_header(messages.data()).length < 4 ||
            read_header(messages.data()).total() > messages.size()) {
            return out + "broken";
        }
        const MessageHeader header = read_header(messages.data());
        out += header.type;
        out += '(';
        for (const char c : messages.substr(kHeaderBytes, header.body())) {
            out += c == '\0' ? '|' : c;
        }
        out += ')';
        messages.remove_prefix(header.total());
    }
    return out;
}

void integers_are_in_network_order(void **) {
    const Exact bytes("x\x01\x02\x03\x04\xff"sv);
    const char *at = bytes.view().data() + 1; // where nothing is aligned
    char written[6] = {};
    write_u32(written + 1, 0x01020304);
    assert_int_equal(read_u16(at), 0x0102);
    assert_int_equal(read_u32(at), 0x01020304);
    assert_int_equal(read_u32(at + 1), 0x020304ff);
    assert_memory_equal(written, "\0\x01\x02\x03\x04\0", 6);
}

void a_header_is_a_type_and_a_length_that_counts_itself(void **) {
    const MessageHeader least = read_header("S\0\0\0\4");
    const MessageHeader most = read_header("Q\xff\xff\xff\xff");
    assert_int_equal(least.type, 'S');
    assert_int_equal(least.total(), 5);
    assert_int_equal(least.body(), 0);
    assert_true(most.total() == size_t{0x100000000}); // no overflow
    assert_true(most.body() == size_t{0xfffffffb});
}

// As SocketBackend() and pq_getmessage() take them.
void a_client_may_send_what_postgresql_takes(void **) {
    const std::string_view large = "QFBPd";
    const std::string_view small = "CDEHSXcf";
    for (int type = 0; type < 256; type++) {
        const char c = static_cast<char>(type);
        const uint32_t limit = c == '\0'                                 ? 0
                               : large.find(c) != std::string_view::npos ? 0x3ffffffe
                               : small.find(c) != std::string_view::npos ? 10000
                                                                         : 0;
        for (const uint32_t length :
             {0U, 3U, 4U, 9999U, 10000U, 10001U, 0x3ffffffeU, 0x3fffffffU, 0x7fffffffU, 0x80000000U, 0xffffffffU}) {
            const FrontendCheck expected = limit == 0                       ? FrontendCheck::bad_type
                                           : length >= 4 && length <= limit ? FrontendCheck::ok
                                                                            : FrontendCheck::bad_length;
            const FrontendCheck got = check_frontend_header({c, length});
            if (got != expected) {
                print_error("type %d, length %u\n", type, length);
            }
            assert_int_equal(got, expected);
        }
    }
}

void fields_are_taken_in_order(void **) {
    const Exact body("name\0\0\x7f\x01\x02\xff\xff\xff\xfexyz12"sv);
    FieldReader fields(body.view());
    const std::string_view name = fields.string();
    const std::string_view empty = fields.string();
    const uint8_t one = fields.u8();
    const uint16_t two = fields.u16();
    const uint32_t four = fields.u32();
    const std::string_view three = fields.bytes(3);
    const std::string_view none = fields.bytes(0);
    assert_true(fields.ok());
    assert_true(name == "name" && empty.empty() && three == "xyz" && none.empty());
    assert_int_equal(one, 0x7f);
    assert_int_equal(two, 0x0102);
    assert_int_equal(four, 0xfffffffe);
    assert_true(fields.rest() == "12");
}

void the_first_missing_field_ends_the_reading(void **) {
    struct Case {
        std::string_view body;
        std::function<bool(FieldReader &)> take; // whether what it returned is nothing
    };
    const Case cases[] = {
        {""sv, [](FieldReader &f) { return f.string().empty(); }},
        {"abc"sv, [](FieldReader &f) { return f.string().empty(); }},
        {""sv, [](FieldReader &f) { return f.u8() == 0; }},
        {""sv, [](FieldReader &f) { return f.u16() == 0; }},
        {"\xff"sv, [](FieldReader &f) { return f.u16() == 0; }},
        {""sv, [](FieldReader &f) { return f.u32() == 0; }},
        {"\xff\xff\xff"sv, [](FieldReader &f) { return f.u32() == 0; }},
        {"ab"sv, [](FieldReader &f) { return f.bytes(3).empty(); }},
        {"ab"sv, [](FieldReader &f) { return f.bytes(UINT32_MAX).empty(); }},
        {"ab"sv, [](FieldReader &f) { return f.bytes(std::numeric_limits<size_t>::max()).empty(); }},
    };
    for (const Case &c : cases) {
        const Exact body(c.body);
        FieldReader fields(body.view());
        const bool nothing = c.take(fields);
        const bool ok = fields.ok();
        // Whatever is asked for afterwards is not there either.
        const bool later = fields.string().empty() && fields.u8() == 0 && fields.u16() == 0 && fields.u32() == 0 &&
                           fields.bytes(0).empty() && fields.rest().empty() && !fields.ok();
        assert_true(nothing);
        assert_false(ok);
        assert_true(later);
    }
}

void messages_have_the_length_they_say(void **) {
    std::string out;
    MessageWriter w(out);
    w.begin('B').string("").string("s").u16(1).u8(2).u32(3).bytes("\0xy"sv).end();
    w.begin('S').end();
    std::string packet;
    MessageWriter(packet).begin_untyped().u32(3 << 16).string("user").u8(0).end();
    assert_true(out == "B\0\0\0\x11\0s\0\0\1\2\0\0\0\3\0xyS\0\0\0\4"sv);
    assert_true(packet == "\0\0\0\x0e\0\3\0\0user\0\0"sv);
}

void messages_of_ours_are_postgresqls(void **) {
    const auto made = [](const std::function<void(std::string &)> &append) {
        std::string out = {'C', 0, 0, 0, 4}; // what is there stays
        append(out);
        return shown(out);
    };
    const std::pair<std::string, const char *> cases[] = {
        {made([](std::string &o) { append_ready(o, 'T'); }), "C()Z(T)"},
        {made([](std::string &o) { append_command_complete(o, "BEGIN"); }), "C()C(BEGIN|)"},
        {made([](std::string &o) { append_parameter_status(o, "TimeZone", "UTC"); }), "C()S(TimeZone|UTC|)"},
        {made([](std::string &o) { append_query(o, "SELECT 1"); }), "C()Q(SELECT 1|)"},
        {made([](std::string &o) { append_error(o, "ERROR", "42P01", "no"); }), "C()E(SERROR|VERROR|C42P01|Mno||)"},
        {made([](std::string &o) { append_error(o, "FATAL", "57P01", "m", "d", "h"); }),
         "C()E(SFATAL|VFATAL|C57P01|Mm|Dd|Hh||)"},
        {made([](std::string &o) { append_notice(o, "WARNING", "25001", "already"); }),
         "C()N(SWARNING|VWARNING|C25001|Malready||)"},
    };
    for (const auto &[got, expected] : cases) {
        assert_string_equal(got.c_str(), expected);
    }
}

void reports_are_read_field_by_field(void **) {
    struct Case {
        std::string_view body, severity, sqlstate, message;
        bool fatal;
    };
    const Case cases[] = {
        {"SERROR\0VERROR\0C42P01\0Mno such table\0\0"sv, "ERROR", "42P01", "no such table", false},
        {"SFEHLER\0VFATAL\0C57P01\0Mx\0\0"sv, "FATAL", "57P01", "x", true},
        {"VPANIC\0SPANIK\0\0"sv, "PANIC", "", "", true},
        {"SFATAL\0C57P01\0Mx\0\0"sv, "FATAL", "57P01", "x", true}, // before PostgreSQL 9.6
        {"SKATASTROPHE\0VERROR\0\0"sv, "ERROR", "", "", false},
        {"Mno more than this\0\0"sv, "", "", "no more than this", false},
        {"C42601\0Mhere\0P15\0Fscan.l\0L1188\0zunknown\0\0"sv, "", "42601", "here", false},
        {"Mfirst\0Msecond\0\0"sv, "", "", "second", false},
        {"C42601\0\0Mbehind the end\0\0"sv, "", "42601", "", false},
        {"C42601\0Mno end"sv, "", "42601", "", false},
        {"C42601\0M"sv, "", "42601", "", false},
        {"C42601\0"sv, "", "42601", "", false},
        {"M\0\0"sv, "", "", "", false},
        {"\0"sv, "", "", "", false},
        {""sv, "", "", "", false},
    };
    for (const Case &c : cases) {
        const Exact body(c.body);
        const ServerReport report = read_report(body.view());
        assert_true(report.severity == c.severity);
        assert_true(report.sqlstate == c.sqlstate);
        assert_true(report.message == c.message);
        assert_int_equal(report.fatal(), c.fatal);
    }
}

void an_error_becomes_fatal_and_nothing_else_of_it_changes(void **) {
    const std::pair<std::string_view, const char *> cases[] = {
        {"SERROR\0VERROR\0C53300\0Mtoo many\0Dd\0Hh\0Rroutine\0\0"sv,
         "E(SFATAL|VFATAL|C53300|Mtoo many|Dd|Hh|Rroutine||)"},
        {"C53300\0SFEHLER\0Mx\0VERROR\0\0"sv, "E(SFATAL|VFATAL|C53300|Mx||)"},
        {"Mx\0\0Dbehind the end\0\0"sv, "E(SFATAL|VFATAL|Mx||)"},
        {""sv, "E(SFATAL|VFATAL||)"},
    };
    for (const auto &[body, expected] : cases) {
        const Exact exact(body);
        std::string out;
        append_error_as_fatal(out, exact.view());
        const std::string got = shown(out);
        assert_string_equal(got.c_str(), expected);
    }
}

void a_report_cut_anywhere_is_still_a_whole_message(void **) {
    const std::string_view whole = "SERROR\0VERROR\0C53300\0Mtoo many\0Dd\0\0"sv;
    const std::string_view parts[] = {"C53300|", "Mtoo many|", "Dd|"};
    const size_t ends[] = {21, 31, 34}; // where each of these is complete
    for (size_t size = 0; size <= whole.size(); size++) {
        const Exact cut(whole.substr(0, size));
        std::string out;
        append_error_as_fatal(out, cut.view());
        std::string expected = "E(SFATAL|VFATAL|";
        for (size_t i = 0; i < std::size(parts); i++) {
            expected += size >= ends[i] ? parts[i] : "";
        }
        const std::string got = shown(out);
        const ServerReport report = read_report(cut.view());
        assert_string_equal(got.c_str(), (expected + "|)").c_str());
        assert_true(report.message == (size >= ends[1] ? "too many" : ""));
        assert_true(report.sqlstate == (size >= ends[0] ? "53300" : ""));
    }
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(integers_are_in_network_order),
        cmocka_unit_test(a_header_is_a_type_and_a_length_that_counts_itself),
        cmocka_unit_test(a_client_may_send_what_postgresql_takes),
        cmocka_unit_test(fields_are_taken_in_order),
        cmocka_unit_test(the_first_missing_field_ends_the_reading),
        cmocka_unit_test(messages_have_the_length_they_say),
        cmocka_unit_test(messages_of_ours_are_postgresqls),
        cmocka_unit_test(reports_are_read_field_by_field),
        cmocka_unit_test(an_error_becomes_fatal_and_nothing_else_of_it_changes),
        cmocka_unit_test(a_report_cut_anywhere_is_still_a_whole_message),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
