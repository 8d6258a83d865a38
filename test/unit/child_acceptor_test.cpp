// When a worker leaves a client at the door to the others.
#include "child/acceptor.h"

#include "unit/cmocka_cpp.h"

namespace {

using namespace pgbalancer;

void who_has_clearly_more_steps_back(void **) {
    struct Case {
        uint64_t mine, total, workers;
        bool yield;
    };
    const Case cases[] = {
        {0, 0, 1, false},      {1000, 1000, 1, false}, // alone
        {0, 0, 2, false},      {1, 1, 2, true},        // the other has none
        {1, 2, 2, false},      {2, 3, 2, true},        {1, 3, 2, false},      {8, 16, 2, false},
        {9, 16, 2, true},                                                  // few clients: more than half
        {50, 100, 2, false},   {53, 100, 2, false},    {54, 100, 2, true}, // many: a sixteenth more than that
        {500, 1000, 2, false}, {531, 1000, 2, false},  {532, 1000, 2, true},  {25, 100, 4, false},
        {26, 100, 4, false},   {27, 100, 4, true},     {0, 10000, 64, false}, {10000, 10000, 64, true},
    };
    for (const Case &c : cases) {
        const bool yield = decide_to_yield(c.mine, c.total, c.workers);
        if (yield != c.yield) {
            print_error("%d of %d with %d workers\n", static_cast<int>(c.mine), static_cast<int>(c.total),
                        static_cast<int>(c.workers));
        }
        assert_int_equal(yield, c.yield);
    }
}

// Nobody would take the client otherwise.
void never_do_all_step_back(void **) {
    size_t stuck = 0;
    for (uint64_t first = 0; first < 60; first++) {
        for (uint64_t second = 0; second < 60; second++) {
            for (uint64_t third = 0; third < 60; third += 7) {
                const uint64_t total = first + second + third;
                stuck += decide_to_yield(first, total, 3) && decide_to_yield(second, total, 3) &&
                                 decide_to_yield(third, total, 3)
                             ? 1
                             : 0;
            }
        }
    }
    assert_int_equal(stuck, 0);
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(who_has_clearly_more_steps_back),
        cmocka_unit_test(never_do_all_step_back),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
