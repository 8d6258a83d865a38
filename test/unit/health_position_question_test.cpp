// A server's answer, in good order and otherwise.
#include "health/position_question.h"

#include <memory>
#include <string>
#include <vector>

#include "unit/cmocka_cpp.h"

namespace {

using namespace pgbalancer;

using Result = std::unique_ptr<PGresult, decltype([](PGresult *r) { PQclear(r); })>;
using Values = std::vector<const char *>; // nullptr = NULL

// in_recovery, inserted, wal_file, replayed, received, replay_age, page, segment, pid, status, received_tli,
// application_name, state, sync_state
const Values kPrimary = {"f",         "0/5000028", "000000020000000000000005",
                         nullptr,     nullptr,     nullptr,
                         "8192",      "16777216",  nullptr,
                         nullptr,     nullptr,     "server1",
                         "streaming", "async"};
const Values kStandby = {"t",        nullptr, nullptr,     "0/5000000", "0/5000028", "0.25",  "8192",
                         "16777216", "42",    "streaming", "2",         nullptr,     nullptr, nullptr};

Result answer(const std::vector<Values> &rows, int columns = 14) {
    Result result(PQmakeEmptyPGresult(nullptr, PGRES_TUPLES_OK));
    std::vector<PGresAttDesc> descriptions(static_cast<size_t>(columns));
    char name[] = "c";
    for (PGresAttDesc &description : descriptions) {
        description = {
            .name = name, .tableid = 0, .columnid = 0, .format = 0, .typid = 25, .typlen = -1, .atttypmod = -1};
    }
    PQsetResultAttrs(result.get(), columns, descriptions.data());
    for (size_t row = 0; row < rows.size(); row++) {
        for (int column = 0; column < columns; column++) {
            const char *value = rows[row][static_cast<size_t>(column)];
            std::string text = value != nullptr ? value : "";
            PQsetvalue(result.get(), static_cast<int>(row), column, value != nullptr ? text.data() : nullptr,
                       value != nullptr ? static_cast<int>(text.size()) : -1);
        }
    }
    return result;
}

Values with(Values values, size_t column, const char *value) {
    values[column] = value;
    return values;
}

void a_primary(void **) {
    Values second = with(with(kPrimary, 11, "server2"), 12, "catchup");
    const auto sample = read_position_answer(*answer({kPrimary, second}));
    const auto alone = read_position_answer(*answer({with(kPrimary, 11, nullptr)}));
    assert_true(sample && alone);
    assert_false(sample->in_recovery);
    assert_int_equal(sample->lsn, 0x5000000); // behind the long header of a new segment
    assert_int_equal(sample->timeline, 2);
    assert_int_equal(sample->senders.size(), 2);
    assert_string_equal(sample->senders[1].application_name.c_str(), "server2");
    assert_string_equal(sample->senders[1].state.c_str(), "catchup");
    assert_int_equal(alone->senders.size(), 0);
}

void a_standby(void **) {
    const auto sample = read_position_answer(*answer({kStandby}));
    assert_true(sample && sample->in_recovery);
    assert_int_equal(sample->lsn, 0x5000000);
    assert_int_equal(sample->received_lsn, 0x5000000);
    assert_int_equal(sample->timeline, 2);
    assert_int_equal(sample->receiver_pid, 42);
    assert_int_equal(sample->replay_age_us, 250000);
}

void a_standby_whose_receiver_does_not_stream_or_is_hidden(void **) {
    const auto waiting = read_position_answer(*answer({with(kStandby, 9, "waiting")}));
    const auto hidden = read_position_answer(*answer({with(with(kStandby, 9, nullptr), 10, nullptr)}));
    const auto none = read_position_answer(*answer({with(with(with(kStandby, 8, nullptr), 9, nullptr), 10, nullptr)}));
    const auto never = read_position_answer(*answer({with(kStandby, 5, nullptr)}));
    const auto clock_behind = read_position_answer(*answer({with(kStandby, 5, "-3.5")}));
    assert_true(waiting && hidden && none && never && clock_behind);
    assert_int_equal(waiting->receiver_pid, 0);
    assert_int_equal(hidden->receiver_pid, 42);
    assert_int_equal(hidden->timeline, 0);
    assert_int_equal(none->receiver_pid, 0);
    assert_int_equal(never->replay_age_us, -1);
    assert_int_equal(clock_behind->replay_age_us, 0);
}

void what_is_no_answer(void **) {
    const struct {
        const char *what;
        Result result;
    } cases[] = {
        {"no row", answer({})},
        {"too few columns", answer({kPrimary}, 13)},
        {"neither role", answer({with(kPrimary, 0, "maybe")})},
        {"no position", answer({with(kPrimary, 1, nullptr)})},
        {"nonsense for a position", answer({with(kPrimary, 1, "5000028")})},
        {"nonsense for a file", answer({with(kPrimary, 2, "wal")})},
        {"pages of no size", answer({with(kPrimary, 6, "0")})},
        {"segments of no size", answer({with(kPrimary, 7, nullptr)})},
        {"nothing replayed", answer({with(kStandby, 3, nullptr)})},
        {"nonsense for a process", answer({with(kStandby, 8, "4x")})},
        {"nonsense for an age", answer({with(kStandby, 5, "old")})},
    };
    for (const auto &c : cases) {
        if (read_position_answer(*c.result)) {
            fail_msg("%s was taken for an answer", c.what);
        }
    }
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(a_primary),
        cmocka_unit_test(a_standby),
        cmocka_unit_test(a_standby_whose_receiver_does_not_stream_or_is_hidden),
        cmocka_unit_test(what_is_no_answer),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
