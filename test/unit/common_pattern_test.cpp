// Regular expressions match whole texts, or are refused with a reason.
#include "common/pattern.h"

#include <string>

#include "unit/cmocka_cpp.h"

namespace {

using namespace pgbalancer;

void patterns_match_whole_texts(void **) {
    struct Case {
        const char *expression;
        std::string_view text;
        bool with_case;
        bool without_case;
    };
    const Case cases[] = {
        {"abc", "abc", true, true},     {"abc", "ABC", false, true},    {"abc", "abcd", false, false},
        {"abc", "xabc", false, false},  {"a|b", "b", true, true},       {"a|b", "ab", false, false},
        {"^a.*z$", "a\nz", true, true}, {"get_.*", "get_", true, true}, {"s\\.f", "sxf", false, false},
        {"s\\.f", "s.f", true, true},   {"f{1,2}", "ff", true, true},   {"", "", true, true},
        {"", "x", false, false},        {"a(b)?", "a", true, true},     {"caf\xc3\xa9", "caf\xc3\xa9", true, true},
        {"x", {"xyz", 1}, true, true}, // no zero byte behind it
    };
    for (const Case &c : cases) {
        const auto matters = Pattern::compile(c.expression, Pattern::Case::matters);
        const auto ignored = Pattern::compile(c.expression, Pattern::Case::ignored);
        const bool found = matters && matters->matches(c.text);
        const bool found_without_case = ignored && ignored->matches(c.text);
        if (found != c.with_case || found_without_case != c.without_case) {
            fail_msg("%s and \"%s\"", c.expression, std::string(c.text).c_str());
        }
    }
}

void what_is_no_expression_is_refused(void **) {
    for (const char *expression : {"(a", "a)b(", "[a", "a\\", "*{", "a{2,1}"}) {
        const auto pattern = Pattern::compile(expression, Pattern::Case::matters);
        const bool refused = !pattern && !pattern.error().message.empty();
        if (!refused) {
            fail_msg("%s is accepted", expression);
        }
    }
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(patterns_match_whole_texts),
        cmocka_unit_test(what_is_no_expression_is_refused),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
