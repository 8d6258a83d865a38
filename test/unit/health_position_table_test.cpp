// What is told of each node: freshness above all, through log switches, rest, promotions, restarts and diverged
// standbys.
#include "health/position_table.h"

#include "unit/cmocka_cpp.h"

namespace {

using namespace pgbalancer;

PositionSample primary_at(uint64_t lsn, int64_t asked_us, uint32_t timeline = 1) {
    PositionSample sample;
    sample.asked_us = asked_us;
    sample.lsn = lsn;
    sample.timeline = timeline;
    return sample;
}

PositionSample standby_at(uint64_t lsn, int64_t asked_us, uint32_t timeline = 1) {
    PositionSample sample;
    sample.asked_us = asked_us;
    sample.in_recovery = true;
    sample.lsn = lsn;
    sample.received_lsn = lsn;
    sample.timeline = timeline;
    sample.receiver_pid = 77;
    return sample;
}

// Node 0 is the primary, 1 and 2 are standbys.
struct Cluster {
    PositionTable table{{"server0", "server1", "server2"}};
    Cluster() { table.restart(0, 7); }
    const NodePosition &node(size_t i) const { return table.positions()[i]; }
    int64_t fresh(size_t i) const { return node(i).fresh_until_us; }
};

void a_standby_is_fresh_up_to_a_sample_it_has_replayed(void **) {
    Cluster c;
    c.table.take(0, primary_at(1000, 10));
    c.table.take(1, standby_at(999, 11));
    const int64_t behind = c.fresh(1);
    c.table.take(1, standby_at(1000, 21));
    const int64_t level = c.fresh(1);
    // Something is written at 25.
    c.table.take(0, primary_at(1500, 30));
    c.table.take(1, standby_at(1400, 31));
    const int64_t before_the_write = c.fresh(1);
    c.table.take(1, standby_at(1500, 41));
    const int64_t after_the_write = c.fresh(1);
    assert_int_equal(behind, 0);
    assert_int_equal(level, 10);
    assert_int_equal(before_the_write, 10);
    assert_int_equal(after_the_write, 30);
    assert_int_equal(c.fresh(2), 0);
    assert_int_equal(c.node(1).epoch, 7);
    assert_int_equal(c.node(1).sampled_monotonic_us, 41);
    assert_int_equal(c.node(0).lsn, 1500);
}

// It does not matter whose answer comes first.
void an_idle_cluster_stays_fresh(void **) {
    Cluster c;
    c.table.take(1, standby_at(1000, 10));
    c.table.take(0, primary_at(1000, 10));
    const int64_t first = c.fresh(1);
    c.table.take(0, primary_at(1000, 20));
    const int64_t second = c.fresh(1);
    assert_int_equal(first, 10);
    assert_int_equal(second, 20);
    assert_int_equal(c.node(1).delay_us, 0);
    assert_int_equal(c.node(1).lag_bytes, 0);
}

void lag_and_delay(void **) {
    Cluster c;
    c.table.take(0, primary_at(1000, 1000000));
    PositionSample late = standby_at(1000, 1000000);
    c.table.take(1, late);
    c.table.take(0, primary_at(5000, 3000000));
    late = standby_at(1200, 3000000);
    late.received_lsn = 5000;
    late.replay_age_us = 500000;
    c.table.take(1, late);
    const int64_t by_age = c.node(1).delay_us;
    // After an hour of rest the age of the last transaction says nothing.
    late.replay_age_us = int64_t{3600} * 1000000;
    c.table.take(1, late);
    const int64_t by_freshness = c.node(1).delay_us;
    // It falls silent; the primary goes on.
    c.table.take(0, primary_at(9000, 4000000));
    assert_int_equal(by_age, 500000);
    assert_int_equal(by_freshness, 2000000);
    assert_int_equal(c.node(1).lag_bytes, 7800);
    assert_int_equal(c.node(1).delay_us, 3000000);
    // Received, but not replayed: late although the primary is not known.
    c.table.forget(0);
    assert_true(c.node(1).delay_us > 0);
    assert_int_equal(c.node(1).lag_bytes, 0);
    assert_int_equal(c.node(2).delay_us, -1);
}

void after_a_change_of_primary_nothing_is_known(void **) {
    Cluster c;
    c.table.take(0, primary_at(1000, 10));
    c.table.take(1, standby_at(1000, 11));
    c.table.take(2, standby_at(900, 11));
    const int64_t before = c.fresh(1);
    c.table.restart(1, 8);
    const int64_t just_after = c.fresh(1);
    const uint64_t epoch = c.node(2).epoch;
    // Answers to questions from before.
    c.table.take(0, primary_at(1000, 12));
    c.table.take(1, standby_at(1000, 12));
    const uint64_t former_primary = c.node(0).lsn;
    const uint64_t not_yet_promoted = c.node(1).lsn;
    c.table.take(2, standby_at(900, 12));
    const int64_t nothing_to_compare = c.fresh(2);
    c.table.take(1, primary_at(1010, 20, 2));
    c.table.take(2, standby_at(1005, 21, 2));
    const int64_t behind = c.fresh(2);
    c.table.take(2, standby_at(1010, 31, 2));
    assert_int_equal(before, 10);
    assert_int_equal(just_after, 0);
    assert_int_equal(epoch, 8);
    assert_int_equal(former_primary, 0);
    assert_int_equal(not_yet_promoted, 0);
    assert_int_equal(nothing_to_compare, 0);
    assert_int_equal(behind, 0);
    assert_int_equal(c.fresh(2), 20);
}

// The former primary had written more than the promoted standby received, and came back as it was.
void a_standby_of_another_history_is_never_fresh_however_far_it_is(void **) {
    Cluster c;
    c.table.restart(1, 8);
    c.table.take(1, primary_at(1010, 20, 2));
    for (int64_t t = 21; t < 25; t++) {
        PositionSample diverged = standby_at(5000, t, 0);
        diverged.receiver_pid = 0; // refused, between two attempts
        c.table.take(0, diverged);
        c.table.take(2, standby_at(5000, t, 1)); // receives from somebody else
    }
    assert_int_equal(c.fresh(0), 0);
    assert_int_equal(c.fresh(2), 0);
}

void without_the_right_to_see_the_timeline_a_receiver_must_last(void **) {
    Cluster c;
    c.table.take(0, primary_at(1000, 10));
    PositionSample sample = standby_at(1000, 11, 0);
    c.table.take(1, sample);
    const int64_t once = c.fresh(1);
    sample.receiver_pid = 78;
    c.table.take(1, sample);
    const int64_t another = c.fresh(1);
    c.table.take(1, sample);
    assert_int_equal(once, 0);
    assert_int_equal(another, 0);
    assert_int_equal(c.fresh(1), 10);
}

void the_same_server_on_another_timeline_is_another_primary(void **) {
    Cluster c;
    c.table.take(0, primary_at(1000, 10, 1));
    c.table.take(1, standby_at(1000, 11, 1));
    c.table.take(0, primary_at(1100, 20, 2));
    const int64_t after = c.fresh(1);
    c.table.take(1, standby_at(1100, 21, 1));
    assert_int_equal(after, 0);
    assert_int_equal(c.fresh(1), 0);
}

void a_server_that_was_away_may_be_older(void **) {
    Cluster c;
    c.table.take(0, primary_at(1000, 10));
    c.table.take(1, standby_at(1000, 11));
    c.table.take(2, standby_at(1000, 11));
    c.table.take(0, primary_at(2000, 20));
    // A standby is restarted: it shows an earlier state for a while.
    c.table.forget(1);
    const int64_t while_away = c.fresh(1);
    c.table.take(1, standby_at(800, 31));
    const int64_t earlier = c.fresh(1);
    // The primary is restarted, without what it had not on disk.
    c.table.forget(0);
    const uint64_t primary_away = c.node(0).lsn;
    c.table.take(0, primary_at(1500, 40));
    c.table.take(2, standby_at(1500, 41));
    assert_int_equal(while_away, 0);
    assert_int_equal(earlier, 0);
    assert_int_equal(primary_away, 0);
    assert_int_equal(c.fresh(2), 40);
    // Unnoticed, too: never an earlier state that passes for the later one.
    c.table.take(2, standby_at(1400, 51));
    assert_int_equal(c.fresh(2), 0);
}

void states_are_found_by_application_name(void **) {
    Cluster c;
    PositionSample sample = primary_at(1000, 10);
    sample.senders = {
        {"server2", "backup", "async"}, {"server2", "streaming", "sync"}, {"pg_basebackup", "startup", ""}};
    c.table.take(0, sample);
    c.table.forget(2);
    const std::string state(c.node(2).replication_state.view());
    const std::string sync(c.node(2).replication_sync_state.view());
    const std::string other(c.node(1).replication_state.view());
    c.table.forget(0);
    assert_string_equal(state.c_str(), "streaming");
    assert_string_equal(sync.c_str(), "sync");
    assert_string_equal(other.c_str(), "");
    assert_true(c.node(2).replication_state.view().empty());
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(a_standby_is_fresh_up_to_a_sample_it_has_replayed),
        cmocka_unit_test(an_idle_cluster_stays_fresh),
        cmocka_unit_test(lag_and_delay),
        cmocka_unit_test(after_a_change_of_primary_nothing_is_known),
        cmocka_unit_test(a_standby_of_another_history_is_never_fresh_however_far_it_is),
        cmocka_unit_test(without_the_right_to_see_the_timeline_a_receiver_must_last),
        cmocka_unit_test(the_same_server_on_another_timeline_is_another_primary),
        cmocka_unit_test(a_server_that_was_away_may_be_older),
        cmocka_unit_test(states_are_found_by_application_name),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
