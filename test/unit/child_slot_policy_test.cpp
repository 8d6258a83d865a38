#include "child/slot_policy.h"

#include "unit/cmocka_cpp.h"

using namespace pgbalancer;

namespace {

void who_has_nothing_is_given_way_to(void **) {
    assert_true(gives_way(1, 0, 0));
    assert_true(gives_way(5, 0, 0));
}

// 3 and 2 is as equal as it gets: another step would only turn it round.
void shares_become_equal_and_stay_so(void **) {
    int has = 5;
    int needer = 1;
    while (gives_way(has, needer, 0)) {
        has--;
        needer++;
    }
    const bool back = gives_way(needer, has, 0);
    assert_int_equal(has, 3);
    assert_int_equal(needer, 3);
    assert_false(back);
    assert_false(gives_way(3, 2, 0));
    assert_false(gives_way(1, 4, kIdleGivesWayMs - 1));
}

void what_is_not_used_goes(void **) { assert_true(gives_way(1, 4, kIdleGivesWayMs)); }

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(who_has_nothing_is_given_way_to),
        cmocka_unit_test(shares_become_equal_and_stay_so),
        cmocka_unit_test(what_is_not_used_goes),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
