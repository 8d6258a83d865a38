// Messages between supervisor and child arrive whole or are refused.
#include "main/control_channel.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "unit/cmocka_cpp.h"

namespace {

using namespace pgbalancer;

struct Fixture {
    ControlChannel::Pair pair = std::move(*ControlChannel::make_pair());
    ControlChannel supervisor{std::move(pair.supervisor_end)};
    ControlChannel child{std::move(pair.child_end)};

    // The next packet that the child gets, byte for byte.
    void send_raw(const void *bytes, size_t size) { ::send(supervisor.fd(), bytes, size, 0); }
};

void a_message_arrives_as_sent(void **) {
    Fixture f;
    const bool sent = f.supervisor.send_body(ControlType::node_suspect, NodeBody{.node = 3});
    auto received = f.child.receive();
    const auto body = received && *received ? (*received)->body_as<NodeBody>() : std::nullopt;
    const auto wrong_body = received && *received ? (*received)->body_as<CancelBody>() : std::nullopt;
    auto nothing_more = f.child.receive();
    assert_true(sent);
    assert_true(body.has_value() && (*received)->type == ControlType::node_suspect && body->node == 3);
    assert_false(wrong_body.has_value());
    assert_true(nothing_more && !*nothing_more);
}

void a_descriptor_comes_along(void **) {
    Fixture f;
    int ends[2];
    const bool piped = pipe2(ends, O_CLOEXEC) == 0;
    const UniqueFd reader(ends[0]);
    UniqueFd writer(ends[1]);
    const bool sent = f.supervisor.send(ControlType::reload, {}, writer.get());
    writer.reset();
    auto received = f.child.receive();
    const bool has_fd = received && *received && (*received)->fd;
    const ssize_t written = has_fd ? write((*received)->fd.get(), "x", 1) : -1;
    const int flags = has_fd ? fcntl((*received)->fd.get(), F_GETFD) : 0;
    char byte = 0;
    const ssize_t got = read(reader.get(), &byte, 1);
    assert_true(piped && sent && has_fd);
    assert_int_equal(written, 1);
    assert_int_equal(got, 1);
    assert_int_equal(byte, 'x');
    assert_true((flags & FD_CLOEXEC) != 0);
}

void the_peers_end_is_seen_after_its_last_words(void **) {
    Fixture f;
    const bool sent = f.supervisor.send(ControlType::reopen_logs);
    f.supervisor = ControlChannel(UniqueFd());
    auto last_words = f.child.receive();
    auto gone = f.child.receive();
    const bool sent_to_nobody = f.child.send(ControlType::ready);
    assert_true(sent);
    assert_true(last_words && *last_words && (*last_words)->type == ControlType::reopen_logs);
    assert_false(static_cast<bool>(gone));
    assert_false(sent_to_nobody);
}

void what_is_no_message_is_refused(void **) {
    struct Packet {
        ControlHeader header;
        char body[300];
    };
    const auto ready = static_cast<uint16_t>(ControlType::ready);
    const struct {
        const char *what;
        Packet packet;
        size_t size;
    } cases[] = {
        {"shorter than a header", {{ready, 0, 0}, ""}, 3},
        {"body missing", {{ready, 0, 4}, ""}, 8},
        {"leftovers", {{ready, 0, 0}, "x"}, 9},
        {"length beyond what can be", {{ready, 0, 0xffffffff}, ""}, 8},
        {"too long", {{ready, 0, 300}, ""}, 308},
        {"type 0", {{0, 0, 0}, ""}, 8},
        {"unknown type", {{999, 0, 0}, ""}, 8},
    };
    for (const auto &c : cases) {
        Fixture f;
        f.send_raw(&c.packet, c.size);
        const bool accepted = static_cast<bool>(f.child.receive());
        if (accepted) {
            fail_msg("%s was accepted", c.what);
        }
    }
}

void a_full_queue_is_said_and_empties_again(void **) {
    Fixture f;
    int sent = 0;
    while (sent < 1000000 && f.supervisor.send_body(ControlType::node_suspect, NodeBody{.node = sent})) {
        sent++;
    }
    int received = 0;
    bool in_order = true;
    for (auto message = f.child.receive(); message && *message; message = f.child.receive()) {
        const auto body = (*message)->body_as<NodeBody>();
        in_order = in_order && body && body->node == received;
        received++;
    }
    const bool again = f.supervisor.send(ControlType::reopen_logs);
    assert_true(sent > 10 && sent < 1000000);
    assert_int_equal(received, sent);
    assert_true(in_order && again);
}

void a_sealed_text_is_read_by_several(void **) {
    const std::string text(100000, 'c');
    auto sealed = seal_text(text);
    const bool made = static_cast<bool>(sealed);
    const ssize_t changed = made ? write(sealed->get(), "x", 1) : -1;
    const auto first = read_sealed_text(*sealed);
    const auto second = read_sealed_text(*sealed);
    const auto empty = read_sealed_text(*seal_text(""));
    assert_true(made);
    assert_int_equal(changed, -1);
    assert_true(first && *first == text);
    assert_true(second && *second == text);
    assert_true(empty && empty->empty());
}

void a_text_that_may_still_change_is_refused(void **) {
    const UniqueFd unsealed(memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING));
    const bool accepted = static_cast<bool>(read_sealed_text(unsealed));
    const bool accepted_nothing = static_cast<bool>(read_sealed_text(UniqueFd()));
    assert_false(accepted);
    assert_false(accepted_nothing);
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(a_message_arrives_as_sent),
        cmocka_unit_test(a_descriptor_comes_along),
        cmocka_unit_test(the_peers_end_is_seen_after_its_last_words),
        cmocka_unit_test(what_is_no_message_is_refused),
        cmocka_unit_test(a_full_queue_is_said_and_empties_again),
        cmocka_unit_test(a_sealed_text_is_read_by_several),
        cmocka_unit_test(a_text_that_may_still_change_is_refused),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
