// Positions as text and as numbers, and the page headers that the insert position steps over.
#include "health/wal_position.h"

#include "unit/cmocka_cpp.h"

namespace {

using namespace pgbalancer;

constexpr uint64_t kSegment = 16 * 1024 * 1024;

void positions_are_read_as_postgresql_writes_them(void **) {
    const struct {
        const char *text;
        uint64_t lsn;
    } good[] = {{"0/0", 0},
                {"0/3000028", 0x3000028},
                {"16/B374D848", 0x16B374D848},
                {"FFFFFFFF/FFFFFFFF", UINT64_MAX},
                {"a/b", 0xA0000000BULL}};
    for (const auto &c : good) {
        const auto lsn = parse_lsn(c.text);
        if (lsn != c.lsn) {
            fail_msg("%s", c.text);
        }
    }
    for (const char *text : {"", "/", "1/", "/1", "1", "1/2/3", "1/100000000", " 1/2", "1/-2", "x/1", "1/0x2"}) {
        if (parse_lsn(text)) {
            fail_msg("\"%s\" was taken for a position", text);
        }
    }
}

void a_position_behind_a_page_header_is_the_end_before_the_page(void **) {
    const struct {
        const char *what;
        uint64_t lsn;
        uint64_t end;
    } cases[] = {
        {"page start", 5 * 8192, 5 * 8192},
        {"short header", 5 * 8192 + 24, 5 * 8192},
        {"a record on the page", 5 * 8192 + 32, 5 * 8192 + 32},
        {"a page's last bytes", 6 * 8192 - 8, 6 * 8192 - 8},
        {"segment start", 3 * kSegment, 3 * kSegment},
        {"long header", 3 * kSegment + 40, 3 * kSegment},
        {"the segment's first record", 3 * kSegment + 48, 3 * kSegment + 48},
        {"40 bytes into a later page", 3 * kSegment + 8192 + 40, 3 * kSegment + 8192 + 40},
    };
    for (const auto &c : cases) {
        const uint64_t end = without_page_header(c.lsn, {});
        if (end != c.end) {
            fail_msg("%s: %llx", c.what, static_cast<unsigned long long>(end));
        }
    }
}

void other_page_and_segment_sizes(void **) {
    const WalGeometry wal{.page_bytes = 32768, .segment_bytes = 1024 * 1024};
    const uint64_t within_page = without_page_header(8192 + 24, wal);
    const uint64_t page = without_page_header(1024 * 1024 + 32768 + 24, wal);
    const uint64_t segment = without_page_header(1024 * 1024 + 40, wal);
    assert_int_equal(within_page, 8192 + 24);
    assert_int_equal(page, 1024 * 1024 + 32768);
    assert_int_equal(segment, 1024 * 1024);
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(positions_are_read_as_postgresql_writes_them),
        cmocka_unit_test(a_position_behind_a_page_header_is_the_end_before_the_page),
        cmocka_unit_test(other_page_and_segment_sizes),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
