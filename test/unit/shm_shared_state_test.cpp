// The segment: what one process writes every other sees, and a worker's death leaves nothing behind.
#include "shm/shared_state.h"

#include <string>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

#include "unit/cmocka_cpp.h"

namespace {

using namespace pgbalancer;

constexpr SharedStateSizes kSizes{.workers = 3, .max_pool = 4, .sessions_per_worker = 101, .nodes = 2};

SharedState make_state() {
    auto state = SharedState::create(kSizes);
    if (!state) {
        abort();
    }
    return std::move(*state);
}

// Runs `body` in a child process and returns its exit code, -1 if it was killed.
template <class Body> int in_child(Body body) {
    const pid_t pid = fork();
    if (pid == 0) {
        _exit(body());
    }
    int status = 0;
    waitpid(pid, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

NodeSnapshot node(int id, NodeStatus status, const char *host) {
    NodeSnapshot snapshot;
    snapshot.id = id;
    snapshot.status = status;
    snapshot.hostname.set(host);
    return snapshot;
}

void the_newest_write_of_all_processes_counts(void **) {
    SharedState state = make_state();
    const int64_t before = state.last_write_us();
    state.note_write(50);
    const int status = in_child([&] {
        state.note_write(70);
        state.note_write(60);
        return 0;
    });
    const int64_t after = state.last_write_us();
    assert_int_equal(before, 0);
    assert_int_equal(status, 0);
    assert_int_equal(after, 70);
}

void tables_do_not_overlap(void **) {
    const SegmentLayout layout = SegmentLayout::of(kSizes);
    const uint64_t starts[] = {sizeof(SegmentShm), layout.nodes,       layout.workers,    layout.node_counters,
                               layout.connections, layout.cancel_keys, layout.limit_keys, layout.limit_shares,
                               layout.events,      layout.total};
    const uint64_t lengths[] = {0,
                                2 * sizeof(NodeShm),
                                3 * sizeof(WorkerShm),
                                3 * 2 * sizeof(NodeCountersShm),
                                3 * 4 * sizeof(ConnectionSlotShm),
                                3 * 104 * sizeof(uint64_t), // rows are whole cache lines
                                sizeof(LimitKeysShm),
                                3 * sizeof(LimitShareShm),
                                sizeof(EventRingShm)};
    for (size_t i = 0; i < std::size(lengths); i++) {
        assert_true(starts[i] + lengths[i] <= starts[i + 1]);
        assert_int_equal(starts[i + 1] % kCacheLineBytes, 0);
    }
}

void nodes_are_seen_with_their_generation(void **) {
    SharedState state = make_state();
    NodeSnapshot seen;
    const bool before = state.read_node(0, seen);
    const uint64_t generation = state.nodes_generation();
    const int primary_before = state.primary_node();
    const NodeSnapshot nodes[] = {node(0, NodeStatus::down, "a"), node(5, NodeStatus::up, "b")};
    const int code = in_child([&] {
        state.publish_nodes(nodes, 1);
        return 0;
    });
    const bool after = state.read_node(1, seen);
    assert_false(before);
    assert_int_equal(primary_before, -1);
    assert_int_equal(code, 0);
    assert_true(after);
    assert_int_equal(seen.id, 5);
    assert_true(seen.status == NodeStatus::up);
    assert_true(seen.hostname.view() == "b");
    assert_int_equal(state.primary_node(), 1);
    assert_true(state.nodes_generation() > generation);
}

void text_that_does_not_fit_is_cut(void **) {
    FixedText<4> text;
    text.set("abcdef");
    const std::string cut(text.view());
    text.set(std::string_view("a\0b", 3));
    const std::string zero(text.view());
    text.set("");
    assert_string_equal(cut.c_str(), "abc");
    assert_string_equal(zero.c_str(), "a");
    assert_true(text.view().empty());
}

void a_cancel_key_leads_to_its_session(void **) {
    SharedState state = make_state();
    state.begin_worker(0);
    const uint32_t generation = state.begin_worker(2);
    const uint32_t last_session = kSizes.sessions_per_worker - 1;
    const int code = in_child([&] {
        state.set_cancel_key(2, last_session, 0x1234567890abcdef);
        state.set_cancel_key(0, 0, 77);
        return 0;
    });
    const auto owner = state.find_cancel_key(0x1234567890abcdef);
    const auto first = state.find_cancel_key(77);
    const auto nobody = state.find_cancel_key(0x1234567890abcdee);
    const auto zero = state.find_cancel_key(0);
    state.set_cancel_key(2, last_session, 0);
    const auto withdrawn = state.find_cancel_key(0x1234567890abcdef);
    assert_int_equal(code, 0);
    assert_true(owner.has_value() && owner->worker == 2 && owner->session == last_session);
    assert_int_equal(owner->worker_generation, generation);
    assert_true(first.has_value() && first->worker == 0 && first->session == 0);
    assert_false(nobody.has_value());
    assert_false(zero.has_value());
    assert_false(withdrawn.has_value());
}

void a_dead_workers_share_goes_and_its_totals_stay(void **) {
    SharedState state = make_state();
    const uint32_t first = state.begin_worker(1);
    const int slot = state.limit_slot(LimitKind::user, "app");
    const int code = in_child([&] {
        WorkerCountersShm &counters = state.worker(1).counters;
        bump(counters.clients, 5);
        drop(counters.clients, 2);
        bump(counters.transactions, 9);
        state.set_cancel_key(1, 3, 99);
        state.limit_add(1, slot, 4);
        state.limit_add(1, slot, -1);
        ConnectionInfo info;
        info.database.set("db");
        state.connection(1, 2).publish(info);
        state.connection(1, 2).publish(ConnectionLease{.state = ConnectionState::active, .session = 3});
        return 0;
    });
    ConnectionInfo info;
    ConnectionLease lease;
    const bool used = state.connection(1, 2).read(info, lease);
    const uint32_t session = lease.session;
    const std::string database(info.database.view());
    const uint64_t clients = state.clients_total();
    const uint32_t share = state.limit_total(slot);
    state.clear_worker(1);
    const bool used_after = state.connection(1, 2).read(info, lease);
    const uint32_t second = state.begin_worker(1);
    assert_int_equal(code, 0);
    assert_true(used);
    assert_int_equal(session, 3);
    assert_string_equal(database.c_str(), "db");
    assert_int_equal(clients, 3);
    assert_int_equal(share, 3);
    assert_false(used_after);
    assert_int_equal(state.clients_total(), 0);
    assert_int_equal(state.limit_total(slot), 0);
    assert_false(state.find_cancel_key(99).has_value());
    assert_int_equal(state.worker(1).counters.transactions.load(), 9);
    assert_int_equal(second, first + 1);
}

void names_get_one_slot_each(void **) {
    SharedState state = make_state();
    const int user = state.limit_slot(LimitKind::user, "app");
    const int again = state.limit_slot(LimitKind::user, "app");
    const int database = state.limit_slot(LimitKind::database, "app");
    // PostgreSQL sees the first 63 bytes of a name only.
    const std::string long_name(63, 'x');
    const int cut = state.limit_slot(LimitKind::user, long_name);
    const int uncut = state.limit_slot(LimitKind::user, long_name + "y");
    assert_true(user >= 0);
    assert_int_equal(user, again);
    assert_int_not_equal(user, database);
    assert_int_equal(cut, uncut);
}

void a_full_table_says_so(void **) {
    SharedState state = make_state();
    uint32_t taken = 0;
    while (taken < kLimitEntries && state.limit_slot(LimitKind::user, "u" + std::to_string(taken)) >= 0) {
        taken++;
    }
    const int over = state.limit_slot(LimitKind::user, "one more");
    const int known = state.limit_slot(LimitKind::user, "u0");
    assert_int_equal(taken, kLimitEntries);
    assert_int_equal(over, -1);
    assert_true(known >= 0);
}

// Several workers ask for the same new names at once: each name must end up in one slot.
void slots_are_claimed_once_by_processes_at_a_time(void **) {
    SharedState state = make_state();
    constexpr int kNames = 500;
    std::vector<pid_t> children;
    for (int worker = 0; worker < 3; worker++) {
        const pid_t pid = fork();
        if (pid == 0) {
            for (int i = 0; i < kNames; i++) {
                state.limit_add(worker, state.limit_slot(LimitKind::user, "user" + std::to_string(i)), 1);
            }
            _exit(0);
        }
        children.push_back(pid);
    }
    for (const pid_t pid : children) {
        waitpid(pid, nullptr, 0);
    }
    int wrong = 0;
    for (int i = 0; i < kNames; i++) {
        wrong += state.limit_total(state.limit_slot(LimitKind::user, "user" + std::to_string(i))) == 3 ? 0 : 1;
    }
    assert_int_equal(wrong, 0);
}

// Add, look, take back if too many: the limit is never exceeded, however many try at once.
void a_limit_is_never_exceeded(void **) {
    SharedState state = make_state();
    constexpr uint32_t kLimit = 1;
    const int slot = state.limit_slot(LimitKind::database, "db");
    std::atomic<uint64_t> &inside = state.facts_generation(); // any counter that all see
    std::atomic<uint64_t> &exceeded = state.defaults_generation();
    std::vector<pid_t> children;
    for (int worker = 0; worker < 3; worker++) {
        const pid_t pid = fork();
        if (pid == 0) {
            int entered = 0;
            // Whoever is interrupted while inside keeps the others out: go on until it was one's turn.
            for (int i = 0; i < 5000000 || entered == 0; i++) {
                state.limit_add(worker, slot, 1);
                if (state.limit_total(slot) <= kLimit) {
                    entered++;
                    if (inside.fetch_add(1) + 1 > kLimit) {
                        exceeded.fetch_add(1);
                    }
                    inside.fetch_sub(1);
                }
                state.limit_add(worker, slot, -1);
            }
            _exit(0);
        }
        children.push_back(pid);
    }
    int failed = 0;
    for (const pid_t pid : children) {
        int status = 0;
        waitpid(pid, &status, 0);
        failed += status == 0 ? 0 : 1;
    }
    assert_int_equal(failed, 0);
    assert_int_equal(exceeded.load(), 0);
    assert_int_equal(state.limit_total(slot), 0);
}

void history_keeps_the_latest_events(void **) {
    SharedState state = make_state();
    Event event;
    const bool none = state.read_event(1, event);
    for (uint64_t i = 1; i <= kEventEntries + 3; i++) {
        Event next;
        next.type = EventType::node_status;
        next.text.set("event " + std::to_string(i));
        state.append_event(next);
    }
    const bool overwritten = state.read_event(3, event);
    const bool oldest = state.read_event(4, event);
    const std::string text(event.text.view());
    const bool newest = state.read_event(state.last_event(), event);
    const bool future = state.read_event(state.last_event() + 1, event);
    assert_false(none);
    assert_false(overwritten);
    assert_true(oldest);
    assert_string_equal(text.c_str(), "event 4");
    assert_true(newest && !future);
    assert_int_equal(state.last_event(), kEventEntries + 3);
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(tables_do_not_overlap),
        cmocka_unit_test(the_newest_write_of_all_processes_counts),
        cmocka_unit_test(nodes_are_seen_with_their_generation),
        cmocka_unit_test(text_that_does_not_fit_is_cut),
        cmocka_unit_test(a_cancel_key_leads_to_its_session),
        cmocka_unit_test(a_dead_workers_share_goes_and_its_totals_stay),
        cmocka_unit_test(names_get_one_slot_each),
        cmocka_unit_test(a_full_table_says_so),
        cmocka_unit_test(slots_are_claimed_once_by_processes_at_a_time),
        cmocka_unit_test(a_limit_is_never_exceeded),
        cmocka_unit_test(history_keeps_the_latest_events),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
