// Outgoing and Endpoint: bytes arrive once and in order, whatever the kernel takes of them at a time.
#include "child/endpoint.h"

#include <cstdlib>
#include <sys/socket.h>

#include "unit/cmocka_cpp.h"

namespace {

using namespace pgbalancer;

// Bytes that show where they are missing or doubled.
std::string pattern(size_t size, unsigned seed) {
    std::string out(size, '\0');
    for (size_t i = 0; i < size; i++) {
        out[i] = static_cast<char>((i * 31 + i / 251 + seed) & 0xff);
    }
    return out;
}

class Peer final : public Endpoint {
  public:
    Peer() {
        int pair[2];
        const int small = 4096;
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) != 0 ||
            setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &small, sizeof small) != 0) {
            abort();
        }
        fd_ = UniqueFd(pair[0]);
        far_ = UniqueFd(pair[1]);
    }
    bool write_more() { return write_pending(); }
    void hang_up() { far_.reset(); }
    // What has arrived so far, all of it.
    const std::string &received() {
        char bytes[65536];
        for (;;) {
            const ssize_t n = recv(far_.get(), bytes, sizeof bytes, 0);
            if (n <= 0) {
                return received_;
            }
            received_.append(bytes, static_cast<size_t>(n));
        }
    }

    int blocked_calls = 0;

  private:
    void on_blocked() override { blocked_calls++; }
    UniqueFd far_;
    std::string received_;
};

void nothing_leaves_before_the_flush(void **) {
    Outgoing out;
    Peer peer;
    const std::string whole = "abcdefghi";
    out.add(peer, std::string_view(whole).substr(0, 3));
    out.add(peer, std::string_view(whole).substr(3, 3)); // right behind it: one piece
    out.add_copy(peer, "XY");
    out.add(peer, {});
    out.add_copy(peer, "Z");
    out.add(peer, std::string_view(whole).substr(6));
    const std::string before = peer.received();
    out.flush();
    const std::string after = peer.received();
    out.flush();
    const std::string again = peer.received();
    assert_string_equal(before.c_str(), "");
    assert_string_equal(after.c_str(), "abcdefXYZghi");
    assert_string_equal(again.c_str(), "abcdefXYZghi");
    assert_int_equal(peer.blocked_calls, 0);
}

void what_is_copied_may_change_afterwards(void **) {
    Outgoing out;
    Peer peer;
    std::string bytes = "first";
    out.add_copy(peer, bytes);
    bytes = "other";
    out.add_copy(peer, bytes);
    bytes = "third";
    out.flush();
    const std::string got = peer.received();
    assert_string_equal(got.c_str(), "firstother");
}

void another_receiver_flushes_the_former(void **) {
    Outgoing out;
    Peer one;
    Peer two;
    out.add(one, "1");
    out.add(two, "2");
    const std::string first = one.received();
    out.add_copy(one, "3");
    const std::string second = two.received();
    out.flush();
    const std::string third = one.received();
    assert_string_equal(first.c_str(), "1");
    assert_string_equal(second.c_str(), "2");
    assert_string_equal(third.c_str(), "13");
}

// More pieces than one call takes, and more copied bytes than the arena holds.
void there_is_no_limit_to_what_is_gathered(void **) {
    Outgoing out;
    Peer peer;
    const std::string source = pattern(300000, 1);
    std::string expected;
    size_t at = 0;
    for (size_t i = 0; i < 400; i++) {
        const std::string_view piece(source.data() + at, (i * 37) % 700 + 1);
        if (i % 3 == 0) {
            out.add_copy(peer, piece);
        } else {
            out.add(peer, piece);
        }
        expected += piece;
        at += piece.size() + 1; // never right behind each other
    }
    const std::string large = pattern(100000, 9);
    out.add_copy(peer, large);
    expected += large;
    out.flush();
    std::string got = peer.received();
    for (int i = 0; i < 1000 && peer.blocked(); i++) {
        (void)peer.write_more();
        got = peer.received();
    }
    const bool same = got == expected;
    assert_true(same);
    assert_int_equal(peer.blocked_calls, 1);
}

void what_the_kernel_refuses_is_kept_in_order(void **) {
    Outgoing out;
    Peer peer;
    const std::string first = pattern(50000, 1);
    std::string second = pattern(50000, 2);
    const std::string expected = first + second + "end";
    out.add(peer, first);
    out.flush();
    const bool blocked = peer.blocked();
    const int calls = peer.blocked_calls;
    // While it is blocked nothing may overtake what is pending, though there is room by now.
    const size_t arrived = peer.received().size();
    out.add(peer, second);
    out.flush();
    out.add_copy(peer, "end");
    out.flush();
    second.assign(second.size(), '\0'); // valid until flush() only
    const bool overtaken = peer.received().size() != arrived;
    const size_t pending = peer.pending_bytes();
    bool alive = true;
    int writes = 0;
    std::string got;
    while (peer.blocked() && writes < 1000) {
        alive = alive && peer.write_more();
        got = peer.received();
        writes++;
    }
    const bool same = got == expected;
    assert_true(blocked);
    assert_int_equal(calls, 1);
    assert_true(arrived > 0 && arrived < first.size());
    assert_false(overtaken);
    assert_int_equal(pending, expected.size() - arrived);
    assert_true(alive);
    assert_true(writes > 1);
    assert_true(same);
    assert_int_equal(peer.blocked_calls, 1); // told once
}

void a_broken_connection_is_told_and_takes_nothing_more(void **) {
    Outgoing out;
    Peer peer;
    peer.hang_up();
    out.add(peer, "lost");
    const bool before = peer.broken();
    out.flush();
    const bool broken = peer.broken();
    const int calls = peer.blocked_calls;
    out.add_copy(peer, "lost too");
    out.flush();
    assert_false(before);
    assert_true(broken);
    assert_int_equal(calls, 1);
    assert_false(peer.blocked());
}

void a_connection_that_breaks_drops_what_is_pending(void **) {
    Outgoing out;
    Peer peer;
    out.add_copy(peer, pattern(100000, 3));
    out.flush();
    const bool blocked = peer.blocked();
    peer.hang_up();
    const bool alive = peer.write_more();
    assert_true(blocked);
    assert_false(alive);
    assert_true(peer.broken());
    assert_false(peer.blocked());
}

void who_is_forgotten_gets_nothing(void **) {
    Outgoing out;
    Peer going;
    Peer staying;
    out.add_copy(going, "for nobody");
    out.forget(staying); // nothing is gathered for it
    out.forget(going);
    out.flush();
    const std::string none = going.received();
    out.add_copy(staying, "kept");
    out.forget(going);
    out.flush();
    const std::string kept = staying.received();
    assert_string_equal(none.c_str(), "");
    assert_string_equal(kept.c_str(), "kept");
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(nothing_leaves_before_the_flush),
        cmocka_unit_test(what_is_copied_may_change_afterwards),
        cmocka_unit_test(another_receiver_flushes_the_former),
        cmocka_unit_test(there_is_no_limit_to_what_is_gathered),
        cmocka_unit_test(what_the_kernel_refuses_is_kept_in_order),
        cmocka_unit_test(a_broken_connection_is_told_and_takes_nothing_more),
        cmocka_unit_test(a_connection_that_breaks_drops_what_is_pending),
        cmocka_unit_test(who_is_forgotten_gets_nothing),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
