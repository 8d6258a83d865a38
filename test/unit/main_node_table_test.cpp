// From a report of the health process to what every process reads.
#include "main/node_table.h"

#include "common/log.h"

#include "unit/cmocka_cpp.h"

namespace {

using namespace pgbalancer;

Config two_nodes() {
    Config config;
    config.backends.resize(2);
    config.backends[0].id = 0;
    config.backends[0].hostname = "first";
    config.backends[1].id = 7;
    config.backends[1].hostname = "second";
    config.backends[1].weight = 3;
    return config;
}

struct Fixture {
    Config config = two_nodes();
    SharedState shared =
        std::move(*SharedState::create({.workers = 1, .max_pool = 1, .sessions_per_worker = 1, .nodes = 2}));
    NodeTable table{shared, config};

    bool see(int node, ProbeOutcome outcome, bool in_recovery, const char *error = "") {
        NodeObservation seen;
        seen.outcome = outcome;
        seen.in_recovery = in_recovery;
        seen.last_error.set(error);
        shared.publish_observation(node, seen);
        return table.observe(node);
    }
    NodeSnapshot snapshot(int node) {
        NodeSnapshot result;
        if (!shared.read_node(node, result)) {
            result.id = -1;
        }
        return result;
    }
};

void nodes_are_published_at_once(void **) {
    Fixture f;
    const NodeSnapshot second = f.snapshot(1);
    assert_int_equal(second.id, 7);
    assert_true(second.status == NodeStatus::connecting && second.role == NodeRole::unknown);
    assert_true(second.hostname.view() == "second");
    assert_true(second.weight == 3);
    assert_int_equal(f.shared.primary_node(), -1);
}

void a_report_changes_what_is_read(void **) {
    Fixture f;
    const uint64_t generation = f.shared.nodes_generation();
    const bool changed = f.see(1, ProbeOutcome::answered, false);
    const NodeSnapshot up = f.snapshot(1);
    const int primary = f.shared.primary_node();
    const uint64_t second_generation = f.shared.nodes_generation();
    const bool changed_again = f.see(1, ProbeOutcome::answered, false);
    const uint64_t third_generation = f.shared.nodes_generation();
    const bool lost = f.see(1, ProbeOutcome::failed, false, "refused");
    const NodeSnapshot down = f.snapshot(1);
    assert_true(changed);
    assert_true(up.status == NodeStatus::up && up.role == NodeRole::primary && up.epoch == 1);
    assert_int_equal(primary, 1);
    assert_true(second_generation > generation);
    assert_false(changed_again);
    assert_int_equal(third_generation, second_generation);
    assert_true(lost);
    assert_true(down.status == NodeStatus::down && down.epoch == 2);
    assert_true(down.last_error.view() == "refused");
    assert_int_equal(f.shared.primary_node(), -1);
}

void a_second_primary_is_not_used(void **) {
    Fixture f;
    f.see(1, ProbeOutcome::answered, false);
    f.see(0, ProbeOutcome::answered, false);
    const int kept = f.shared.primary_node();
    f.see(1, ProbeOutcome::failed, false);
    const int other = f.shared.primary_node();
    assert_int_equal(kept, 1);
    assert_int_equal(other, 0);
}

void changes_are_history(void **) {
    Fixture f;
    f.see(0, ProbeOutcome::answered, true);
    Event status;
    Event role;
    const bool read = f.shared.read_event(1, status) && f.shared.read_event(2, role);
    assert_true(read);
    assert_int_equal(f.shared.last_event(), 2);
    assert_true(status.type == EventType::node_status && status.node == 0 && status.epoch == 1);
    assert_true(role.type == EventType::node_role && role.text.view() == "unknown role -> standby");
}

void a_reload_counts_at_once(void **) {
    Fixture f;
    f.see(0, ProbeOutcome::answered, false);
    f.see(1, ProbeOutcome::answered, true);
    Config next = f.config;
    next.backends[0].weight = 9;
    next.backends[1].always_primary = true;
    f.table.configure(next);
    const double weight = f.snapshot(0).weight;
    assert_true(weight == 9);
    assert_int_equal(f.shared.primary_node(), 1);
}

} // namespace

int main() {
    LogOptions quiet;
    quiet.level = LogLevel::fatal;
    if (!log_configure(quiet)) {
        return 1;
    }
    const CMUnitTest tests[] = {
        cmocka_unit_test(nodes_are_published_at_once),  cmocka_unit_test(a_report_changes_what_is_read),
        cmocka_unit_test(a_second_primary_is_not_used), cmocka_unit_test(changes_are_history),
        cmocka_unit_test(a_reload_counts_at_once),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
