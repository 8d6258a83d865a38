// What is kept and held back of a read on a standby, and which errors send it to the primary.
#include "child/read_guard.h"

#include <string>

#include "unit/cmocka_cpp.h"

namespace {

using namespace pgbalancer;

void replies_are_held_until_one_is_let_go(void **) {
    ReadGuard guard;
    assert_false(guard.active());
    guard.begin("a read");
    assert_true(guard.active() && guard.holding() && guard.may_run_again());
    assert_true(guard.hold("12"));
    assert_true(guard.hold("T"));
    assert_string_equal(std::string(guard.held()).c_str(), "12T");
    assert_string_equal(guard.batch().c_str(), "a read");
    guard.let_go();
    assert_true(guard.active());
    assert_false(guard.holding() || guard.may_run_again());
    guard.end();
    assert_false(guard.active());
    assert_true(guard.batch().empty() && guard.held().empty());
}

void a_refused_read_shows_nothing_and_can_run_again(void **) {
    ReadGuard guard;
    guard.begin("a read");
    (void)guard.hold("1");
    guard.before().emplace_back();
    guard.refuse(Refusal::lasting);
    assert_true(guard.refused() && guard.may_run_again());
    assert_false(guard.holding());
    assert_true(guard.held().empty());
    assert_true(guard.why() == Refusal::lasting);
    guard.end();
    assert_true(guard.before().empty());
    guard.begin("another");
    assert_true(guard.holding() && guard.why() == Refusal::none);
}

void only_so_much_is_held(void **) {
    ReadGuard guard;
    guard.begin("a read");
    assert_true(guard.hold(std::string(ReadGuard::kMaxHeldBytes - 1, 'x')));
    assert_false(guard.hold("yz"));
    assert_int_equal(guard.held().size(), ReadGuard::kMaxHeldBytes - 1);
    assert_true(guard.hold("y"));
    assert_false(guard.hold("z"));
}

void the_standbys_own_troubles_are_told_from_the_statements(void **) {
    for (const char *sqlstate : {"25006", "0A000", "55000"}) {
        assert_true(refusal_of(sqlstate) == Refusal::lasting);
    }
    for (const char *sqlstate :
         {"40001", "40P01", "57P01", "57P03", "42P01", "42703", "42883", "42501", "3F000", "08006", "53200", "XX000"}) {
        assert_true(refusal_of(sqlstate) == Refusal::passing);
    }
    for (const char *sqlstate : {"", "0", "22012", "22P02", "57014", "P0001", "23505", "25P02", "55P03", "0A00"}) {
        assert_true(refusal_of(sqlstate) == Refusal::none);
    }
}

void what_tells_the_outcome_is_not_held(void **) {
    for (const char type : {'1', '2', '3', 't', 'T', 'n', 'N', 'S', 'E'}) {
        assert_true(may_be_held(type));
    }
    for (const char type : {'D', 'C', 'I', 's', 'G', 'H', 'd', 'c', 'Z', 'A', 'V'}) {
        assert_false(may_be_held(type));
    }
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(replies_are_held_until_one_is_let_go),
        cmocka_unit_test(a_refused_read_shows_nothing_and_can_run_again),
        cmocka_unit_test(only_so_much_is_held),
        cmocka_unit_test(the_standbys_own_troubles_are_told_from_the_statements),
        cmocka_unit_test(what_tells_the_outcome_is_not_held),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
