// Durations, lists and edit distances as text.
#include "config/duration_text.h"
#include "config/edit_distance.h"
#include "config/list_text.h"

#include "unit/cmocka_cpp.h"

namespace {

using namespace pgbalancer;

constexpr int64_t kRefused = -1'000'000'000;

int64_t parsed(std::string_view text, DurationUnit unit = DurationUnit::seconds) {
    const auto duration = parse_duration(text, unit);
    return duration ? duration->count() : kRefused;
}

void durations_are_read(void **) {
    struct Case {
        const char *text;
        int64_t milliseconds;
    };
    const Case cases[] = {
        {"0", 0},
        {"10", 10'000},
        {"10s", 10'000},
        {"10 s", 10'000},
        {"250ms", 250},
        {"3min", 180'000},
        {"2h", 7'200'000},
        {"1d", 86'400'000},
        {"1.5s", 1500},
        {"0.5", 500},
        {"-1", -1000},
        {"0.2ms", 0},
        {"0.0006s", 1},
        {"36500d", 3'153'600'000'000},
        {"", kRefused},
        {"s", kRefused},
        {"abc", kRefused},
        {"10 sec", kRefused},
        {"10S", kRefused},
        {"10m", kRefused},
        {"10us", kRefused},
        {"1e3", kRefused},
        {"0x10", kRefused},
        {"10 s s", kRefused},
        {"nan", kRefused},
        {"inf", kRefused},
        {"40000d", kRefused},
        {"+1", kRefused},
        {"1,5s", kRefused},
        {"99999999999999999999999999", kRefused},
    };
    for (const Case &c : cases) {
        const int64_t value = parsed(c.text);
        assert_int_equal(value, c.milliseconds);
    }
    const int64_t bare = parsed("10", DurationUnit::milliseconds),
                  with_unit = parsed("10s", DurationUnit::milliseconds);
    assert_int_equal(bare, 10);
    assert_int_equal(with_unit, 10'000);
}

void durations_are_written_in_their_largest_unit_and_come_back(void **) {
    struct Case {
        int64_t milliseconds;
        const char *text;
    };
    const Case cases[] = {{0, "0"},           {1, "1ms"},         {200, "200ms"},   {1500, "1500ms"},
                          {2000, "2s"},       {90'000, "90s"},    {60'000, "1min"}, {3'600'000, "1h"},
                          {86'400'000, "1d"}, {90'000'000, "25h"}};
    for (const Case &c : cases) {
        const std::string text = duration_text(std::chrono::milliseconds(c.milliseconds));
        const int64_t back = parsed(text);
        assert_string_equal(text.c_str(), c.text);
        assert_int_equal(back, c.milliseconds);
    }
}

// "a|b" for a and b, "refused" if it is no list.
std::string items(std::string_view text) {
    const auto list = parse_list(text);
    std::string joined;
    for (size_t i = 0; list && i < list->size(); i++) {
        joined += (i == 0 ? "" : "|") + (*list)[i];
    }
    return list ? joined : "refused";
}

void lists_are_read(void **) {
    struct Case {
        const char *text;
        const char *items;
    };
    const Case cases[] = {
        {"", ""},
        {"  ", ""},
        {"a", "a"},
        {"a,b", "a|b"},
        {" a , b c ", "a|b c"},
        {"\"a,b\", c", "a,b|c"},
        {"\"a\"\"b\"", "a\"b"},
        {"\" a \"", " a "},
        {"\"\"", ""},
        {"::1, *", "::1|*"},
        {"a,", "refused"},
        {",a", "refused"},
        {"a,,b", "refused"},
        {"\"a", "refused"},
        {"a\"", "refused"},
        {"\"", "refused"},
        {"\"\"\"", "refused"},
        {"\"a\"b", "refused"},
        {"\"a\"b\"", "refused"},
        {"a\"b\"", "refused"},
    };
    for (const Case &c : cases) {
        const std::string joined = items(c.text);
        assert_string_equal(joined.c_str(), c.items);
    }
}

void lists_come_back(void **) {
    const std::vector<std::string> awkward = {"a", "", " ", "a,b", "a\"b", "\"", "::1", "'"};
    const auto back = parse_list(list_text(awkward));
    const bool same = back && *back == awkward;
    assert_true(same);
    assert_string_equal(list_text({"::1", "x"}).c_str(), "::1, x");
}

void named_words_are_read_and_come_back(void **) {
    const auto pairs = parse_named_words(" shop : session,\"a,\"\"b\":x, with:colon:y ");
    const NamedWords expected = {{"shop", "session"}, {"a,\"b", "x"}, {"with:colon", "y"}};
    const bool same = pairs && *pairs == expected;
    const bool back = parse_named_words(named_words_text(expected)) == expected;
    const bool empty = parse_named_words("") == NamedWords{};
    assert_true(same);
    assert_true(back);
    assert_true(empty);
    for (const char *wrong : {"shop", "shop:", ":session", "a:b,", ",", "\"a:b", "a:\"b\"", "\"a\"x:b"}) {
        const bool refused = !parse_named_words(wrong);
        assert_true(refused);
    }
}

void distances(void **) {
    struct Case {
        const char *a;
        const char *b;
        size_t distance;
    };
    const Case cases[] = {{"", "", 0},         {"", "abc", 3},      {"abc", "", 3},      {"port", "port", 0},
                          {"port", "PORT", 0}, {"prot", "port", 1}, {"pot", "port", 1},  {"ports", "port", 1},
                          {"part", "port", 1}, {"ca", "abc", 3},    {"abcd", "badc", 2}, {"kitten", "sitting", 3}};
    for (const Case &c : cases) {
        const size_t there = edit_distance(c.a, c.b), back = edit_distance(c.b, c.a);
        assert_int_equal(there, c.distance);
        assert_int_equal(back, c.distance);
    }
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(durations_are_read),
        cmocka_unit_test(durations_are_written_in_their_largest_unit_and_come_back),
        cmocka_unit_test(lists_are_read),
        cmocka_unit_test(lists_come_back),
        cmocka_unit_test(named_words_are_read_and_come_back),
        cmocka_unit_test(distances),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
