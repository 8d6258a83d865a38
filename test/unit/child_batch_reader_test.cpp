// The look-ahead over a batch sees whole messages, in order, and nothing that has not come yet.
#include "child/batch_reader.h"

#include <memory>
#include <string>

#include "unit/cmocka_cpp.h"

namespace {

using namespace pgbalancer;
using Step = BatchReader::Step;

std::string message(char type, std::string_view body) {
    std::string out;
    MessageWriter(out).begin(type).bytes(body).end();
    return out;
}

// The types of the messages, how far they reach, and how it ended: '.' more must come, '!' unfit. Stops at Sync.
std::string steps(std::string_view bytes) {
    // A heap block of exactly that size: reading past it is seen by a sanitizer.
    const std::unique_ptr<char[]> exact(new char[bytes.size()]);
    bytes.copy(exact.get(), bytes.size());
    BatchReader reader({exact.get(), bytes.size()});
    std::string out;
    for (;;) {
        const Step step = reader.next();
        if (step != Step::message) {
            return out + (step == Step::incomplete ? '.' : '!');
        }
        out += reader.type() + std::string(reader.body()) + std::to_string(reader.bytes()) + ' ';
        if (reader.type() == 'S') {
            return out;
        }
    }
}

const std::string kBatch = message('P', "p") + message('B', "bb") + message('E', "") + message('S', "");

void messages_come_one_after_another(void **) {
    assert_string_equal(steps(kBatch).c_str(), "Pp6 Bbb13 E18 S23 ");
    assert_string_equal(steps("").c_str(), ".");
}

void cut_anywhere_it_waits_for_the_rest(void **) {
    const size_t ends[] = {6, 13, 18};
    const std::string whole = "Pp6 Bbb13 E18 ";
    for (size_t size = 0; size < kBatch.size(); size++) {
        std::string expected;
        size_t taken = 0;
        for (size_t i = 0; i < std::size(ends) && ends[i] <= size; i++) {
            taken = whole.find(' ', taken) + 1;
        }
        expected = whole.substr(0, taken) + ".";
        assert_string_equal(steps(std::string_view(kBatch).substr(0, size)).c_str(), expected.c_str());
    }
}

void what_no_client_may_send_is_unfit(void **) {
    assert_string_equal(steps(kBatch.substr(0, 6) + message('?', "")).c_str(), "Pp6 !");
    assert_string_equal(steps(std::string("B\0\0\0\3", 5)).c_str(), "!");
}

void too_much_is_unfit_as_soon_as_it_is_known(void **) {
    const std::string largest = message('B', std::string(BatchReader::kMaxBytes - 2 * kHeaderBytes, 'x'));
    const std::string fits = largest + message('S', "");
    const std::string over = largest + message('H', "") + message('S', "");
    assert_int_equal(fits.size(), BatchReader::kMaxBytes);
    assert_true(steps(fits).ends_with("S65536 "));
    assert_true(steps(over).ends_with("H65536 !"));
    // The header says so before the body has come.
    std::string head = message('B', "");
    write_u32(head.data() + 1, BatchReader::kMaxBytes);
    assert_string_equal(steps(head).c_str(), "!");
    write_u32(head.data() + 1, BatchReader::kMaxBytes - 1);
    assert_string_equal(steps(head).c_str(), ".");
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(messages_come_one_after_another),
        cmocka_unit_test(cut_anywhere_it_waits_for_the_rest),
        cmocka_unit_test(what_no_client_may_send_is_unfit),
        cmocka_unit_test(too_much_is_unfit_as_soon_as_it_is_known),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
