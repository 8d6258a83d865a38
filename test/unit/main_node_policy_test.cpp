// What an observation makes of a node, and which node becomes the primary.
#include "main/node_policy.h"

#include <vector>

#include "unit/cmocka_cpp.h"

namespace {

using namespace pgbalancer;
using enum NodeStatus;
using enum NodeRole;

struct NodeCase {
    const char *what;
    NodeView before;
    ProbeOutcome outcome;
    bool in_recovery;
    NodeTraits traits;
    NodeView after;
};

constexpr NodeTraits kOneOfMany{};
constexpr NodeTraits kOnly{.always_primary = false, .only_node = true};
constexpr NodeTraits kAlways{.always_primary = true, .only_node = false};

void nodes(void **) {
    const NodeCase cases[] = {
        {"nothing seen yet", {connecting, unknown}, ProbeOutcome::none, false, kOneOfMany, {connecting, unknown}},
        {"a primary", {connecting, unknown}, ProbeOutcome::answered, false, kOneOfMany, {up, primary}},
        {"a standby", {connecting, unknown}, ProbeOutcome::answered, true, kOneOfMany, {up, standby}},
        {"promoted", {up, standby}, ProbeOutcome::answered, false, kOneOfMany, {up, primary}},
        {"came back as a standby", {down, primary}, ProbeOutcome::answered, true, kOneOfMany, {up, standby}},
        {"gone, and what it was is known", {up, primary}, ProbeOutcome::failed, false, kOneOfMany, {down, primary}},
        {"never there", {connecting, unknown}, ProbeOutcome::failed, false, kOneOfMany, {down, unknown}},
        {"restarts", {up, primary}, ProbeOutcome::starting, false, kOneOfMany, {starting, primary}},
        {"the login is refused from now on", {up, primary}, ProbeOutcome::alive, false, kOneOfMany, {up, primary}},
        {"came back, login refused", {down, primary}, ProbeOutcome::alive, false, kOneOfMany, {up, unknown}},
        {"started, login refused", {starting, standby}, ProbeOutcome::alive, false, kOneOfMany, {up, unknown}},
        {"login refused at first", {connecting, unknown}, ProbeOutcome::alive, false, kOneOfMany, {up, unknown}},
        {"the only node, login refused", {connecting, unknown}, ProbeOutcome::alive, false, kOnly, {up, primary}},
        {"the only node is a standby and says so", {up, primary}, ProbeOutcome::answered, true, kOnly, {up, standby}},
        {"the only node was a standby, login refused", {up, standby}, ProbeOutcome::alive, true, kOnly, {up, standby}},
        {"always primary, whatever it says", {up, primary}, ProbeOutcome::answered, true, kAlways, {up, primary}},
        {"always primary, but not there", {up, primary}, ProbeOutcome::failed, false, kAlways, {down, primary}},
        {"always primary, login refused", {down, unknown}, ProbeOutcome::alive, false, kAlways, {up, primary}},
    };
    for (const NodeCase &c : cases) {
        NodeObservation seen;
        seen.outcome = c.outcome;
        seen.in_recovery = c.in_recovery;
        const NodeView after = decide_node(c.before, seen, c.traits);
        if (after != c.after) {
            fail_msg("%s: status %d, role %d", c.what, static_cast<int>(after.status), static_cast<int>(after.role));
        }
    }
}

struct PrimaryCase {
    const char *what;
    std::vector<NodeView> nodes;
    int current;
    int always_primary;
    int primary;
};

void primaries(void **) {
    const PrimaryCase cases[] = {
        {"no nodes", {}, -1, -1, -1},
        {"none is one", {{up, standby}, {up, unknown}}, -1, -1, -1},
        {"the only one", {{up, standby}, {up, primary}}, -1, -1, 1},
        {"two at first: the lower", {{up, primary}, {up, primary}}, -1, -1, 0},
        {"a second appears: the first stays", {{up, primary}, {up, primary}}, 1, -1, 1},
        {"it went down, another is there", {{up, primary}, {down, primary}}, 1, -1, 0},
        {"it went down, no other", {{up, standby}, {down, primary}}, 1, -1, -1},
        {"it restarts", {{up, standby}, {starting, primary}}, 1, -1, -1},
        {"it became a standby", {{up, primary}, {up, standby}}, 1, -1, 0},
        {"the flag decides", {{up, primary}, {up, primary}}, 0, 1, 1},
        {"the flag decides, though that one is down", {{up, primary}, {down, primary}}, 0, 1, -1},
    };
    for (const PrimaryCase &c : cases) {
        const int primary = decide_primary(c.nodes, c.current, c.always_primary);
        if (primary != c.primary) {
            fail_msg("%s: %d", c.what, primary);
        }
    }
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(nodes),
        cmocka_unit_test(primaries),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
