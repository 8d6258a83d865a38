// What a worker makes of the nodes and positions in shared memory.
#include "child/topology.h"

#include "config/config.h"
#include "shm/shared_state.h"

#include <string>
#include <vector>

#include "unit/cmocka_cpp.h"

namespace {

using namespace pgbalancer;

NodeSnapshot node(int id, NodeStatus status, NodeRole role, uint64_t epoch, double weight = 1) {
    NodeSnapshot snapshot;
    snapshot.id = id;
    snapshot.status = status;
    snapshot.role = role;
    snapshot.epoch = epoch;
    snapshot.weight = weight;
    return snapshot;
}

NodePosition position(uint64_t epoch, int64_t fresh_until_us, uint64_t lag_bytes, int64_t delay_us) {
    NodePosition position;
    position.epoch = epoch;
    position.lsn = 1000;
    position.fresh_until_us = fresh_until_us;
    position.lag_bytes = lag_bytes;
    position.delay_us = delay_us;
    return position;
}

Config sampled() {
    Config config;
    config.sr_check_user = "someone";
    return config;
}

// "primary=0 any | id up standby weight fresh lag delay | …"
std::string describe(const Topology &nodes) {
    std::string text = "primary=" + std::to_string(nodes.primary()) + (nodes.any_standby() ? " any" : "");
    for (int i = 0; i < nodes.size(); i++) {
        const RoutingNode &n = nodes[i];
        text += " | " + std::to_string(n.id) + (n.up ? " up" : " down") + (n.standby ? " standby" : "") + " " +
                std::to_string(static_cast<int>(n.weight)) + " " + std::to_string(n.fresh_until_us) + " " +
                (n.lag_known ? std::to_string(n.lag_bytes) : "?") + " " + std::to_string(n.delay_us);
    }
    return text;
}

struct Cluster {
    SharedState shared;
    Config config = sampled();
    Topology nodes;

    Cluster()
        : shared(std::move(*SharedState::create({.workers = 1, .max_pool = 1, .sessions_per_worker = 1, .nodes = 3}))) {
    }

    void publish(std::vector<NodeSnapshot> snapshots, int primary) { shared.publish_nodes(snapshots, primary); }
    std::string read() {
        (void)nodes.refresh(shared, config);
        return describe(nodes);
    }
};

constexpr NodeStatus kUp = NodeStatus::up;
constexpr NodeStatus kDown = NodeStatus::down;
constexpr NodeRole kPrimary = NodeRole::primary;
constexpr NodeRole kStandby = NodeRole::standby;

void nodes_and_positions_are_read(void **) {
    Cluster cluster;
    const std::string nothing = cluster.read();
    cluster.publish({node(0, kUp, kPrimary, 1, 0), node(4, kUp, kStandby, 2, 3), node(5, kDown, kStandby, 3)}, 0);
    cluster.shared.publish_position(0, position(1, 0, 0, 0));
    cluster.shared.publish_position(1, position(1, 77, 10, 20));
    cluster.shared.publish_position(2, position(1, 66, 11, 21));
    const std::string all = cluster.read();
    const int found = cluster.nodes.find_id(4), missing = cluster.nodes.find_id(1);
    assert_string_equal(nothing.c_str(), "primary=-1 | 0 down 0 0 ? -1 | 0 down 0 0 ? -1 | 0 down 0 0 ? -1");
    assert_string_equal(all.c_str(), "primary=0 any | 0 up 0 0 0 0 | 4 up standby 3 77 10 20 | 5 down 1 66 11 21");
    assert_int_equal(found, 1);
    assert_int_equal(missing, -1);
}

// Positions say nothing about another primary than the one they were compared with.
void a_promotion_makes_positions_unknown_until_they_are_sampled_anew(void **) {
    Cluster cluster;
    cluster.publish({node(0, kUp, kPrimary, 1), node(1, kUp, kStandby, 2), node(2, kUp, kStandby, 3)}, 0);
    for (int i = 0; i < 3; i++) {
        cluster.shared.publish_position(i, position(1, 50, 5, 5));
    }
    (void)cluster.read();
    // Nobody is the primary: what was known of the former one's writes is as true as before.
    cluster.publish({node(0, kDown, kPrimary, 4), node(1, kUp, kStandby, 2), node(2, kUp, kStandby, 3)}, -1);
    const std::string between = cluster.read();
    cluster.publish({node(0, kDown, kPrimary, 4), node(1, kUp, kPrimary, 5), node(2, kUp, kStandby, 3)}, 1);
    const std::string promoted = cluster.read();
    cluster.shared.publish_position(1, position(5, 0, 0, 0));
    cluster.shared.publish_position(2, position(5, 90, 1, 2));
    const std::string sampled_anew = cluster.read();
    assert_string_equal(between.c_str(),
                        "primary=0 any | 0 down 1 50 5 5 | 1 up standby 1 50 5 5 | 2 up standby 1 50 5 5");
    assert_string_equal(promoted.c_str(), "primary=1 any | 0 down 1 0 ? -1 | 1 up 1 0 ? -1 | 2 up standby 1 0 ? -1");
    assert_string_equal(sampled_anew.c_str(), "primary=1 any | 0 down 1 0 ? -1 | 1 up 1 0 0 0 | 2 up standby 1 90 1 2");
}

void it_is_read_again_when_something_has_changed(void **) {
    Cluster cluster;
    cluster.publish({node(0, kUp, kPrimary, 1), node(1, kUp, kStandby, 2), node(2, kUp, kStandby, 3)}, 0);
    const bool first = cluster.nodes.refresh(cluster.shared, cluster.config);
    const uint32_t version = cluster.nodes.version();
    cluster.nodes.lease_begins(1);
    const bool unchanged = cluster.nodes.refresh(cluster.shared, cluster.config);
    cluster.shared.publish_position(1, position(1, 1, 1, 1));
    const bool new_position = cluster.nodes.refresh(cluster.shared, cluster.config);
    const uint32_t version_with_position = cluster.nodes.version();
    cluster.publish({node(0, kUp, kPrimary, 1), node(1, kUp, kStandby, 2, 9), node(2, kUp, kStandby, 3)}, 0);
    const bool new_weight = cluster.nodes.refresh(cluster.shared, cluster.config);
    const uint32_t version_with_weight = cluster.nodes.version();
    const bool forced = cluster.nodes.refresh(cluster.shared, cluster.config, true);
    assert_true(first);
    assert_false(unchanged);
    assert_true(new_position);
    assert_int_equal(version_with_position, version);
    assert_true(new_weight);
    assert_int_equal(version_with_weight, version + 1);
    assert_true(forced);
    assert_true(cluster.nodes[1].weight == 9);
    assert_int_equal(cluster.nodes[1].active, 1); // outlives being read anew
}

void positions_are_expected_where_somebody_asks_for_them(void **) {
    struct Case {
        const char *sr_check_user;
        const char *health_check_user;
        int period_ms;
        bool expected;
    };
    const Case cases[] = {{"a", "", 200, true}, {"", "a", 200, true}, {"", "", 200, false}, {"a", "a", 0, false}};
    for (const Case &c : cases) {
        Cluster cluster;
        cluster.config.sr_check_user = c.sr_check_user;
        cluster.config.health_check_user = c.health_check_user;
        cluster.config.sr_check_period = std::chrono::milliseconds(c.period_ms);
        (void)cluster.read();
        const bool expected = cluster.nodes.positions_expected();
        assert_int_equal(expected, c.expected);
    }
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(nodes_and_positions_are_read),
        cmocka_unit_test(a_promotion_makes_positions_unknown_until_they_are_sampled_anew),
        cmocka_unit_test(it_is_read_again_when_something_has_changed),
        cmocka_unit_test(positions_are_expected_where_somebody_asks_for_them),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
