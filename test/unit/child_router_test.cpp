// The table of test/support/routing.tsv, and what a table does not say: shares, and what sessions remember.
#include "child/router.h"
#include "child/routing_need.h"
#include "sql/catalog_facts.h"

#include <array>
#include <cstdio>
#include <set>
#include <string>
#include <vector>

#include "unit/cmocka_cpp.h"
#include "unit/routing_table.h"

namespace {

using namespace pgbalancer;
using namespace pgbalancer::test;

constexpr int kRolls = 64;

std::string describe(const std::set<std::pair<int, RouteReason>> &routes) {
    std::string text;
    for (const auto &[node, reason] : routes) {
        text += " " + std::to_string(node) + " (" + std::string(route_reason_text(reason)) + ")";
    }
    return text;
}

// The nodes that a row's word permits; each must be met.
std::set<int> nodes_meant(const RoutingRow &row, const Topology &nodes) {
    if (row.node == "primary") {
        return {0};
    }
    if (row.node == "none") {
        return {-1};
    }
    if (row.node != "standby" && row.node != "any") {
        return {atoi(row.node.c_str())};
    }
    std::set<int> meant;
    for (int i = 0; i < nodes.size(); i++) {
        if (nodes[i].standby || (row.node == "any" && i == nodes.primary())) {
            meant.insert(i);
        }
    }
    return meant;
}

bool as_expected(const RoutingRow &row, const std::set<std::pair<int, RouteReason>> &routes, const Topology &nodes) {
    std::set<int> met;
    for (const auto &[node, reason] : routes) {
        met.insert(node);
        if (row.reason != "any" && route_reason_text(reason) != row.reason) {
            return false;
        }
    }
    const std::set<int> meant = nodes_meant(row, nodes);
    // A standby may be excluded by its weight: then the row names the other one, except with "any".
    return row.node == "any" ? met.size() > 1 : met == meant;
}

void the_table_holds(void **) {
    CatalogFacts known(1);
    load_facts(known);
    const CatalogFacts unknown(2);
    StatementCache cache(4096);
    const RoutingTable table = routing_table();
    int wrong = 0;
    uint32_t number = 0;
    for (const RoutingRow &row : table.rows) {
        const RowSession session = session_of(table, row);
        const RowConfiguration how = configuration_of(row, session.nodes_changed);
        if (!session.understood || !how.config) {
            printf("routing.tsv:%d: not understood\n", row.line);
            wrong++;
            continue;
        }
        const RoutingRules rules(*how.config, ++number);
        RoutingNeed need;
        for (const std::string &statement : row.statements) {
            need.merge(rules.need_of(*cache.classify(statement, {}), how.facts_known ? known : unknown, statement));
        }
        const int64_t others_mark_us = rules.how().global ? session.others_mark_us : 0;
        std::set<std::pair<int, RouteReason>> routes;
        RouteDice dice(number);
        for (int i = 0; i < kRolls; i++) {
            const Route route = decide_route(need, session.route, how.nodes, rules.how(), others_mark_us, dice.roll());
            routes.emplace(route.node, route.reason);
        }
        if (!as_expected(row, routes, how.nodes)) {
            printf("routing.tsv:%d: %s [%s, %s]\n  expected %s (%s), found%s\n", row.line, row.statements[0].c_str(),
                   row.session.c_str(), row.configuration.c_str(), row.node.c_str(), row.reason.c_str(),
                   describe(routes).c_str());
            wrong++;
        }
    }
    assert_true(table.rows.size() >= 400);
    assert_int_equal(wrong, 0);
}

// Of `choices` reads by a session that keeps no choice, the nodes' shares in per mille.
std::array<int, 3> shares(const Topology &nodes, LoadBalancing how, RouteSession session) {
    constexpr int kChoices = 100'000;
    std::array<int, 3> counts{};
    RouteDice dice(1);
    for (int i = 0; i < kChoices; i++) {
        counts[static_cast<size_t>(decide_route({}, session, nodes, how, 0, dice.roll()).node)]++;
    }
    for (int &count : counts) {
        count = (count + kChoices / 2000) / (kChoices / 1000);
    }
    return counts;
}

Topology three_nodes(double a, double b, double c) {
    return Topology::of({{.id = 0, .up = true, .weight = a},
                         {.id = 1, .up = true, .standby = true, .weight = b, .fresh_until_us = 10},
                         {.id = 2, .up = true, .standby = true, .weight = c, .fresh_until_us = 10}},
                        0, true);
}

void reads_are_shared_by_weight(void **) {
    struct Case {
        Topology nodes;
        RedirectTarget redirect;
        std::array<int, 3> expected;
    };
    using Kind = RedirectTarget::Kind;
    const Case cases[] = {
        {three_nodes(0, 1, 3), {}, {0, 250, 750}},
        {three_nodes(1, 1, 1), {}, {333, 333, 333}},
        {three_nodes(2, 0, 6), {}, {250, 0, 750}},
        {three_nodes(0.5, 0.25, 0.25), {}, {500, 250, 250}},
        {three_nodes(1, 1, 3), {.kind = Kind::primary, .ratio = 0.2F}, {200, 200, 600}},
        {three_nodes(1, 1, 3), {.kind = Kind::standby, .ratio = 0.6F}, {400, 150, 450}},
        {three_nodes(1, 1, 3), {.kind = Kind::node, .node_id = 2, .ratio = 0.5F}, {250, 250, 500}},
        {three_nodes(0, 1, 0), {.kind = Kind::node, .node_id = 1, .ratio = 0.5F}, {0, 1000, 0}},
        {three_nodes(0, 0, 3), {.kind = Kind::node, .node_id = 1, .ratio = 0.25F}, {0, 250, 750}},
    };
    for (const bool per_statement : {true, false}) {
        for (const Case &c : cases) {
            RouteSession session;
            session.redirect = c.redirect;
            const std::array<int, 3> found = shares(c.nodes, {.per_statement = per_statement}, session);
            for (size_t i = 0; i < found.size(); i++) {
                assert_in_range(found[i] + 10, c.expected[i], c.expected[i] + 20);
            }
        }
    }
}

// With session level balancing the first choice holds; what is too stale is replaced for the time being only.
void a_session_keeps_its_node(void **) {
    Topology nodes = three_nodes(0, 1, 1);
    const LoadBalancing how;
    RouteSession session;
    RouteDice dice(3);
    const Route first = decide_route({}, session, nodes, how, 0, dice.roll());
    note_route(session, first, nodes);
    const int other = 3 - first.node;
    bool stayed = true;
    for (int i = 0; i < 100; i++) {
        const Route route = decide_route({}, session, nodes, how, 0, dice.roll());
        note_route(session, route, nodes);
        note_transaction_end(session, how);
        stayed = stayed && route.node == first.node;
    }
    // Only the other one shows what the session has written.
    std::vector<RoutingNode> changed = {nodes[0], nodes[1], nodes[2]};
    changed[static_cast<size_t>(other)].fresh_until_us = 1000;
    nodes = Topology::of(changed, 0, true);
    note_write(session, 500, false);
    const Route away = decide_route({}, session, nodes, how, 0, dice.roll());
    note_route(session, away, nodes);
    const int64_t seen_us = session.seen_us;
    changed[static_cast<size_t>(first.node)].fresh_until_us = 999;
    nodes = Topology::of(changed, 0, true);
    const Route not_back = decide_route({}, session, nodes, how, 0, dice.roll());
    note_route(session, not_back, nodes);
    changed[static_cast<size_t>(first.node)].fresh_until_us = 1000;
    nodes = Topology::of(changed, 0, true);
    const Route back = decide_route({}, session, nodes, how, 0, dice.roll());
    assert_true(stayed);
    assert_int_equal(away.node, other);
    assert_int_equal(seen_us, 1000);
    assert_int_equal(not_back.node, other); // behind what the session has read
    assert_int_equal(back.node, first.node);
}

// What a standby has shown, the next one shows as well: it was fresh afterwards, or nothing has been changed since it
// was.
void a_session_does_not_read_backwards(void **) {
    const LoadBalancing how{.per_statement = true};
    const Topology nodes = three_nodes(0, 1, 1); // both fresh until the same time
    const int64_t fresh_us = nodes[2].fresh_until_us;
    const auto others = [&](int64_t read_us, int64_t changed_us, bool fresh = true) {
        RouteSession session;
        session.read_from = 1;
        session.read_us = read_us;
        session.changed_us = changed_us;
        LoadBalancing rules = how;
        rules.fresh = fresh;
        RouteDice dice(7);
        int count = 0;
        for (int i = 0; i < 100; i++) {
            count += decide_route({}, session, nodes, rules, 0, dice.roll()).node == 2 ? 1 : 0;
        }
        return count;
    };
    const int64_t unknown = RouteSession().changed_us;
    assert_int_equal(others(fresh_us, unknown), 0);
    assert_int_equal(others(fresh_us + 1000, fresh_us), 0);
    assert_in_range(others(fresh_us - 1, unknown), 25, 75);
    assert_in_range(others(fresh_us + 1000, fresh_us - 1), 25, 75);
    assert_in_range(others(fresh_us + 1000, unknown, false), 25, 75);
}

void a_choice_is_made_again_when_nodes_change(void **) {
    RouteSession session;
    const LoadBalancing how;
    const Topology before = three_nodes(0, 1, 0);
    note_route(session, decide_route({}, session, before, how, 0, 0), before);
    const Topology after = Topology::of({{.id = 0, .up = true},
                                         {.id = 1, .up = true, .standby = true, .weight = 0, .fresh_until_us = 20},
                                         {.id = 2, .up = true, .standby = true, .weight = 1, .fresh_until_us = 20}},
                                        0, true, 2);
    const int first = session.chosen;
    const Route second = decide_route({}, session, after, how, 0, 0);
    assert_int_equal(first, 1);
    assert_int_equal(second.node, 2);
}

// statement_level_load_balance: one node for a transaction's reads, another choice for the next.
void a_transaction_keeps_its_node(void **) {
    const Topology nodes = three_nodes(1, 1, 1);
    const LoadBalancing how{.per_statement = true};
    RouteSession session;
    RouteDice dice(5);
    std::set<int> firsts;
    bool stayed = true;
    for (int transaction = 0; transaction < 50; transaction++) {
        session.announced = Announced::plain;
        const Route first = decide_route({}, session, nodes, how, 0, dice.roll());
        note_route(session, first, nodes);
        for (int i = 0; i < 10; i++) {
            const Route next = decide_route({}, session, nodes, how, 0, dice.roll());
            note_route(session, next, nodes);
            stayed = stayed && next.node == first.node;
        }
        firsts.insert(first.node);
        session.announced = Announced::no_transaction;
        note_transaction_end(session, how);
    }
    assert_true(stayed);
    assert_int_equal(firsts.size(), 3);
}

void a_refused_statement_is_the_primarys_until_the_catalog_is_read_again(void **) {
    CatalogFacts facts(1);
    load_facts(facts);
    StatementCache cache(8);
    const RoutingRules rules(Config{}, 1);
    const StatementRef statement = cache.classify("SELECT looks_up(1)", {});
    const bool before = rules.need_of(*statement, facts, "").standby;
    rules.refuse_standbys(*statement, facts);
    const RoutingNeed refused = rules.need_of(*statement, facts, "");
    load_facts(facts);
    const bool afterwards = rules.need_of(*statement, facts, "").standby;
    assert_true(before);
    assert_false(refused.standby);
    assert_false(refused.hintable);
    assert_true(refused.why == RouteReason::refused);
    assert_true(refused.changes);
    assert_true(afterwards);
}

// Rules remember needs in statements that other rules must not take for theirs.
void rules_do_not_take_over_each_others_needs(void **) {
    CatalogFacts facts(1);
    load_facts(facts);
    StatementCache cache(8);
    const StatementRef statement = cache.classify("SELECT looks_up(1)", {});
    Config listing;
    listing.write_function_list = {"looks_up"};
    const RoutingRules plain(Config{}, 1);
    const RoutingRules strict(listing, 2);
    const bool first = plain.need_of(*statement, facts, "").standby;
    const bool second = strict.need_of(*statement, facts, "").standby;
    const bool third = plain.need_of(*statement, facts, "").standby;
    assert_true(first);
    assert_false(second);
    assert_true(third);
}

// Anything not proven a read moves the mark; what is the session's own does not.
void what_counts_as_a_write(void **) {
    struct Case {
        const char *sql;
        bool changes;
    };
    const Case cases[] = {
        {"SELECT * FROM t", false},
        {"SELECT pg_backend_pid()", false},
        {"SELECT now()", false},
        {"SHOW work_mem", false},
        {"EXPLAIN DELETE FROM t", false},
        {"COPY t TO STDOUT", false},
        {"BEGIN", false},
        {"COMMIT", false},
        {"SAVEPOINT a", false},
        {"SET work_mem = '1MB'", false},
        {"LISTEN a", false},
        {"LOCK t", false},
        {"DECLARE c CURSOR FOR SELECT * FROM t", false},
        {"FETCH c", false},
        {"", false},
        {"DECLARE c CURSOR FOR SELECT writes(1)", true},
        {"INSERT INTO t VALUES (1)", true},
        {"SELECT writes(1)", true},
        {"SELECT random()", true},
        {"SELECT nextval('numbers')", true},
        {"SELECT * FROM t FOR UPDATE", true},
        {"SELECT * FROM calling_view", true},
        {"CREATE TABLE a (b int)", true},
        {"CALL proceeds()", true},
        {"DO 'BEGIN END'", true},
        {"EXECUTE p", true},
        {"PREPARE TRANSACTION 'a'", true},
        {"COMMIT PREPARED 'a'", true},
        {"SELECT 1; DELETE FROM t", true},
        {"EXPLAIN ANALYZE DELETE FROM t", true},
        {"COPY t FROM STDIN", true},
        {"no SQL", true},
    };
    CatalogFacts facts(1);
    load_facts(facts);
    StatementCache cache(256);
    const RoutingRules rules(Config{}, 1);
    for (const Case &c : cases) {
        const bool changes = rules.need_of(*cache.classify(c.sql, {}), facts, c.sql).changes;
        if (changes != c.changes) {
            fail_msg("%s", c.sql);
        }
    }
    assert_true(unreadable_need().changes);
}

// Where a statement's need is remembered, nothing of it is lost.
void needs_survive_being_remembered(void **) {
    CatalogFacts facts(1);
    load_facts(facts);
    StatementCache cache(4096);
    const RoutingRules rules(Config{}, 1);
    int wrong = 0;
    for (const RoutingRow &row : routing_table().rows) {
        for (const std::string &text : row.statements) {
            const StatementRef statement = cache.classify(text, {});
            const RoutingNeed once = rules.need_of(*statement, facts, text);
            const RoutingNeed again = rules.need_of(*statement, facts, text);
            wrong += once != again ? 1 : 0;
        }
    }
    assert_int_equal(wrong, 0);
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(the_table_holds),
        cmocka_unit_test(reads_are_shared_by_weight),
        cmocka_unit_test(a_session_keeps_its_node),
        cmocka_unit_test(a_session_does_not_read_backwards),
        cmocka_unit_test(a_choice_is_made_again_when_nodes_change),
        cmocka_unit_test(a_transaction_keeps_its_node),
        cmocka_unit_test(a_refused_statement_is_the_primarys_until_the_catalog_is_read_again),
        cmocka_unit_test(rules_do_not_take_over_each_others_needs),
        cmocka_unit_test(what_counts_as_a_write),
        cmocka_unit_test(needs_survive_being_remembered),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
