// How far the primary had written when, and how much of that is remembered.
#include "health/position_history.h"

#include <algorithm>

#include "unit/cmocka_cpp.h"

namespace {

using namespace pgbalancer;

void a_position_shows_the_latest_time_before_it(void **) {
    PositionHistory history;
    const int64_t empty = history.time_of(UINT64_MAX);
    history.add(100, 1000);
    history.add(200, 2000);
    history.add(300, 3000);
    assert_int_equal(empty, 0);
    assert_int_equal(history.time_of(99), 0);
    assert_int_equal(history.time_of(100), 1000);
    assert_int_equal(history.time_of(199), 1000);
    assert_int_equal(history.time_of(300), 3000);
    assert_int_equal(history.time_of(UINT64_MAX), 3000);
}

void an_idle_primary_makes_time_pass(void **) {
    PositionHistory history;
    history.add(100, 1000);
    history.add(200, 2000);
    history.add(200, 3000);
    assert_int_equal(history.time_of(199), 1000);
    assert_int_equal(history.time_of(200), 3000);
    assert_int_equal(history.size(), 2);
}

void a_primary_that_lost_its_latest_wal_begins_anew(void **) {
    PositionHistory history;
    history.add(100, 1000);
    history.add(200, 2000);
    history.add(150, 3000);
    assert_int_equal(history.time_of(149), 0);
    assert_int_equal(history.time_of(200), 3000);
}

// A standby that is behind by any time up to a day is told from one that is behind by a tenth more.
void a_day_is_remembered_with_an_error_of_a_tenth(void **) {
    constexpr int64_t kPeriod = 200000;
    constexpr int64_t kDay = int64_t{24} * 3600 * 1000000;
    PositionHistory history;
    int64_t now = 0;
    for (uint64_t lsn = 1; now < kDay; lsn++) {
        now += kPeriod;
        history.add(lsn, now);
    }
    int64_t worst_percent = 0;
    for (int64_t delay = kPeriod; delay < kDay / 2; delay += delay / 10 + kPeriod) {
        const int64_t told = history.time_of(static_cast<uint64_t>((now - delay) / kPeriod));
        const int64_t error = now - delay - told;
        if (error < 0) {
            fail_msg("later than true");
        }
        // Between two samples there is nothing to remember.
        worst_percent = std::max(worst_percent, 100 * (error - kPeriod) / delay);
    }
    assert_in_range(worst_percent, 0, 10);
    assert_in_range(history.size(), 1, PositionHistory::kMaxSamples);
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(a_position_shows_the_latest_time_before_it),
        cmocka_unit_test(an_idle_primary_makes_time_pass),
        cmocka_unit_test(a_primary_that_lost_its_latest_wal_begins_anew),
        cmocka_unit_test(a_day_is_remembered_with_an_error_of_a_tenth),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
