// ExpectationQueue: a queue that also takes at the front and gives up from the middle, however it has wrapped around.
#include "child/expectation.h"

#include <deque>

#include "unit/cmocka_cpp.h"

namespace {

using namespace pgbalancer;

bool operator==(const Expectation &a, const Expectation &b) {
    return a.reply == b.reply && a.purpose == b.purpose && a.note == b.note;
}

bool same(ExpectationQueue &queue, const std::deque<Expectation> &model) {
    if (queue.size() != model.size() || queue.empty() != model.empty()) {
        return false;
    }
    for (size_t i = 0; i < model.size(); i++) {
        if (!(queue.at(i) == model[i])) {
            return false;
        }
    }
    return model.empty() || queue.front() == model.front();
}

void it_is_a_queue(void **) {
    ExpectationQueue queue;
    std::deque<Expectation> model;
    uint32_t random = 99;
    uint32_t number = 0;
    size_t different = 0;
    size_t most = 0;
    for (int step = 0; step < 20000; step++) {
        random = random * 1664525 + 1013904223;
        const Expectation next{static_cast<Reply>(number % 10), static_cast<Purpose>(number % 9), number};
        // It fills for a while and drains for a while, so that it grows while wrapped around.
        const bool filling = (step / 100) % 2 == 0;
        const uint32_t choice = (random >> 20) % 16;
        if (model.empty() || choice < (filling ? 9 : 5)) {
            queue.push(next);
            model.push_back(next);
        } else if (choice < (filling ? 11 : 6)) {
            queue.push_front(next);
            model.push_front(next);
        } else if (choice < 15) {
            queue.pop();
            model.pop_front();
        } else {
            const size_t at = (random >> 8) % model.size();
            queue.erase(at);
            model.erase(model.begin() + static_cast<std::ptrdiff_t>(at));
        }
        number++;
        most = model.size() > most ? model.size() : most;
        different += same(queue, model) ? 0 : 1;
    }
    queue.clear();
    const bool cleared = queue.empty() && queue.size() == 0;
    queue.push({Reply::sync, Purpose::client, 7});
    const bool again = queue.size() == 1 && queue.front().note == 7;
    assert_int_equal(different, 0);
    assert_true(most > 64);
    assert_true(cleared);
    assert_true(again);
}

void the_first_may_be_put_at_the_front_of_nothing(void **) {
    ExpectationQueue queue;
    queue.push_front({Reply::query, Purpose::client, 1});
    queue.push_front({Reply::bind, Purpose::client, 2});
    const bool right = queue.size() == 2 && queue.at(0).note == 2 && queue.at(1).note == 1;
    assert_true(right);
}

void what_ends_with_ready_for_query(void **) {
    struct Case {
        Reply last;
        bool ends;
    };
    const Case cases[] = {
        {Reply::query, true},
        {Reply::function_call, true},
        {Reply::sync, true},
        {Reply::parse, false},
        {Reply::bind, false},
        {Reply::describe_statement, false},
        {Reply::describe_portal, false},
        {Reply::execute, false},
        {Reply::close, false},
        {Reply::close_locally, false},
        {Reply::copy_end, false},
    };
    for (const Case &c : cases) {
        ExpectationQueue queue;
        queue.push({Reply::sync, Purpose::client, 0});
        queue.push({Reply::execute, Purpose::client, 0});
        queue.push({c.last, Purpose::client, 0});
        const bool ends = queue.ends_with_ready();
        assert_int_equal(ends, c.ends);
    }
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(it_is_a_queue),
        cmocka_unit_test(the_first_may_be_put_at_the_front_of_nothing),
        cmocka_unit_test(what_ends_with_ready_for_query),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
