// Buffer: a queue of bytes in one piece, without memory when it is empty.
#include "child/buffer.h"

#include <string>

#include "unit/cmocka_cpp.h"

namespace {

using namespace pgbalancer;

void an_empty_buffer_has_no_memory(void **) {
    Buffer buffer;
    const bool at_first = buffer.empty() && buffer.view().data() == nullptr;
    buffer.append({});
    const bool after_nothing = buffer.empty() && buffer.view().data() == nullptr;
    buffer.append("abc");
    const bool filled = buffer.size() == 3 && buffer.view() == "abc";
    buffer.consume(3);
    const bool drained = buffer.empty() && buffer.view().data() == nullptr;
    buffer.append("de");
    buffer.clear();
    const bool cleared = buffer.empty() && buffer.view().data() == nullptr;
    buffer.append("fg");
    const bool again = buffer.view() == "fg";
    assert_true(at_first);
    assert_true(after_nothing);
    assert_true(filled);
    assert_true(drained);
    assert_true(cleared);
    assert_true(again);
}

void what_was_consumed_makes_room(void **) {
    Buffer buffer;
    buffer.append(std::string(2000, 'a'));
    const char *const place = buffer.view().data();
    buffer.consume(1500);
    buffer.append(std::string(1500, 'b')); // fits only when the rest moves to the front
    const bool same_place = buffer.view().data() == place;
    const bool content = buffer.view() == std::string(500, 'a') + std::string(1500, 'b');
    assert_true(same_place);
    assert_true(content);
}

// Against a string, with sizes around those at which it grows.
void it_is_a_queue_of_bytes(void **) {
    Buffer buffer;
    std::string model;
    uint32_t random = 12345;
    size_t different = 0;
    size_t most = 0;
    for (int step = 0; step < 20000; step++) {
        random = random * 1664525 + 1013904223;
        if ((random >> 16 & 1) != 0 || model.empty()) {
            const size_t size = (random >> 17) % ((step & 63) == 0 ? 9000 : 300);
            std::string bytes(size, '\0');
            for (char &c : bytes) {
                c = static_cast<char>(++random);
            }
            buffer.append(bytes);
            model += bytes;
        } else {
            const size_t size = (random >> 17) % (model.size() + 1);
            buffer.consume(size);
            model.erase(0, size);
        }
        most = model.size() > most ? model.size() : most;
        different += buffer.view() == model && buffer.size() == model.size() && buffer.empty() == model.empty() ? 0 : 1;
    }
    assert_int_equal(different, 0);
    assert_true(most > 8192);
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_buffer_has_no_memory),
        cmocka_unit_test(what_was_consumed_makes_room),
        cmocka_unit_test(it_is_a_queue_of_bytes),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
