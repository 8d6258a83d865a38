// ParameterSet: equal sets are one object for as long as somebody holds it; settings as SQL.
#include "child/parameter_set.h"

#include <utility>

#include "unit/cmocka_cpp.h"

namespace {

using namespace pgbalancer;

std::string shown(const ParameterSet &set) {
    std::string out;
    for (const auto &entry : set.entries()) {
        out += entry.name + "=" + entry.value + ";";
    }
    return out;
}

void equal_sets_are_one(void **) {
    ParameterSetTable table;
    const ParameterSetRef one = table.intern({{"b", "2"}, {"a", "1"}});
    const ParameterSetRef same = table.intern({{"a", "0"}, {"b", "2"}, {"a", "1"}});
    const ParameterSetRef names_moved = table.intern({{"a", "2"}, {"b", "1"}});
    const ParameterSetRef boundaries_moved = table.intern({{"a", "1b"}, {"", "2"}});
    const ParameterSetRef none = table.empty();
    const std::string text = shown(*one);
    const bool found = one->find("b") != nullptr && *one->find("b") == "2" && one->find("") == nullptr &&
                       one->find("aa") == nullptr && one->find("c") == nullptr;
    assert_string_equal(text.c_str(), "a=1;b=2;");
    assert_true(one == same);
    assert_false(one == names_moved);
    assert_false(one == boundaries_moved);
    assert_true(none == table.intern({}));
    assert_true(none->empty());
    assert_false(none == one);
    assert_true(found);
    assert_int_equal(table.size(), 4);
}

void a_statement_gives_back_what_was_put_in(void **) {
    const ParameterSet::Entry entries[] = {
        {"work_mem", "1MB"}, {"a.b", ""},          {"a", "it's, 'quoted'"},         {"E'", "E'x'"},
        {"a\\b", "plain"},   {"plain", "\\'\\\\"}, {"search_path", "\"A\", 'b\\'"}, {"x', 'y", "', false)"},
    };
    int wrong = 0;
    for (const ParameterSet::Entry &entry : entries) {
        const ParameterSet::Entry back = setting_in_statement(setting_statement(entry.name, entry.value));
        wrong += back.name == entry.name && back.value == entry.value ? 0 : 1;
    }
    assert_int_equal(wrong, 0);
}

void a_set_lives_as_long_as_it_is_held(void **) {
    ParameterSetTable table;
    ParameterSetRef none;
    const bool null = !none;
    size_t sizes[6] = {};
    {
        ParameterSetRef first = table.intern({{"a", "1"}});
        ParameterSetRef copy = first;
        ParameterSetRef moved = std::move(first);
        sizes[0] = table.size();
        copy = table.intern({{"a", "2"}});
        sizes[1] = table.size();
        moved = copy; // the last to hold a=1
        sizes[2] = table.size();
        ParameterSetRef &self = moved;
        moved = self;
        sizes[3] = table.size();
        copy = {};
        sizes[4] = table.size();
    }
    sizes[5] = table.size();
    const size_t expected[6] = {1, 2, 1, 1, 1, 0};
    assert_true(null);
    assert_memory_equal(sizes, expected, sizeof sizes);
}

void sets_are_made_from_others(void **) {
    ParameterSetTable table;
    const ParameterSetRef start = table.intern({{"m", "1"}});
    const std::pair<ParameterSetRef, const char *> cases[] = {
        {table.with(*start, "a", "2"), "a=2;m=1;"}, {table.with(*start, "z", "2"), "m=1;z=2;"},
        {table.with(*start, "m", "2"), "m=2;"},     {table.without(*start, "m"), ""},
        {table.without(*start, "a"), "m=1;"},
    };
    for (const auto &[set, expected] : cases) {
        const std::string got = shown(*set);
        assert_string_equal(got.c_str(), expected);
    }
    assert_true(table.with(*start, "m", "1") == start);
    assert_true(table.without(*start, "other") == start);
    assert_true(table.without(*table.with(*start, "x", ""), "x") == start);
    const std::string unchanged = shown(*start);
    assert_string_equal(unchanged.c_str(), "m=1;");
}

void text_is_quoted(void **) {
    const std::pair<std::string, const char *> cases[] = {
        {quote_literal(""), "''"},
        {quote_literal("it's"), "'it''s'"},
        {quote_literal("a\\b"), "E'a\\\\b'"},
        {quote_literal("\\'; DROP TABLE t; --"), "E'\\\\''; DROP TABLE t; --'"},
        {quote_literal("a\nb"), "'a\nb'"},
        {quote_setting_name("work_mem"), "\"work_mem\""},
        {quote_setting_name("App.user"), "\"App\".\"user\""},
        {quote_setting_name("a\"b; --"), "\"a\"\"b; --\""},
        {quote_setting_name("a.b.c"), "\"a\".\"b\".\"c\""},
        {setting_statement("app.user", "O'Neil \\"),
         "SELECT pg_catalog.set_config('app.user', E'O''Neil \\\\', false)"},
        {setting_statement("a'b", ""), "SELECT pg_catalog.set_config('a''b', '', false)"},
    };
    for (const auto &[got, expected] : cases) {
        assert_string_equal(got.c_str(), expected);
    }
}

void a_difference_is_what_must_be_said(void **) {
    struct Case {
        ParameterSet::Entries from, to;
        const char *sql;
    };
    const Case cases[] = {
        {{}, {}, ""},
        {{{"a", "SET a = 1"}}, {{"a", "SET a = 1"}}, ""},
        {{}, {{"a", "SET a = 1"}}, "SET a = 1"},
        {{{"a", "SET a = 1"}}, {}, "RESET \"a\""},
        {{{"a", "SET a = 1"}}, {{"a", "SET a TO 1"}}, "SET a TO 1"},
        {{{"a", "SET a = 1"}, {"x.y", "SET x.y = 1"}, {"m", "SET m = 1"}},
         {{"m", "SET m = 1"}, {"b", "SET b = 2 -- the b"}, {"c", "SET c = 3"}},
         "RESET \"a\";\nRESET \"x\".\"y\";\nSET b = 2 -- the b;\nSET c = 3"},
        // Time-outs and the search_path first; how text is read is no part of it.
        {{{"a", "SET a = 1"}, {"statement_timeout", "SET statement_timeout = 1"}},
         {{"b", "SET b = 1"},
          {"client_encoding", "SET client_encoding = 'LATIN1'"},
          {"search_path", "SET search_path = s"}},
         "RESET \"statement_timeout\";\nSET search_path = s;\nRESET \"a\";\nSET b = 1"},
    };
    ParameterSetTable table;
    for (const Case &c : cases) {
        const std::string got = settings_difference(*table.intern(c.from), *table.intern(c.to), SettingsPart::others);
        assert_string_equal(got.c_str(), c.sql);
    }
    const std::string reading = settings_difference(
        *table.intern({{"standard_conforming_strings", "SET standard_conforming_strings = off"}, {"a", "SET a = 1"}}),
        *table.intern({{"client_encoding", "SET client_encoding = 'LATIN1'"}}), SettingsPart::reading);
    assert_string_equal(reading.c_str(), "RESET \"standard_conforming_strings\";\nSET client_encoding = 'LATIN1'");
}

void the_isolation_of_transactions_shows(void **) {
    ParameterSetTable table;
    const auto isolation = [&table](const char *statement) {
        return table.intern({{"default_transaction_isolation", statement}})->default_isolation();
    };
    assert_true(table.empty()->default_isolation() == TransactionIsolation::unspecified);
    assert_true(isolation("SET default_transaction_isolation = 'Read Committed'") ==
                TransactionIsolation::read_committed);
    assert_true(isolation("SET default_transaction_isolation TO \"read uncommitted\"") ==
                TransactionIsolation::read_committed);
    assert_true(isolation("set DEFAULT_TRANSACTION_ISOLATION to 'repeatable read'") ==
                TransactionIsolation::repeatable_read);
    assert_true(isolation("SET default_transaction_isolation = serializable") == TransactionIsolation::serializable);
    // Where it is not clear, the highest.
    assert_true(isolation("SET default_transaction_isolation = U&'s!0065rializable' UESCAPE '!'") ==
                TransactionIsolation::serializable);
    assert_true(isolation("SET default_transaction_isolation = serializable -- not committed") ==
                TransactionIsolation::serializable);
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(equal_sets_are_one),
        cmocka_unit_test(a_statement_gives_back_what_was_put_in),
        cmocka_unit_test(a_set_lives_as_long_as_it_is_held),
        cmocka_unit_test(sets_are_made_from_others),
        cmocka_unit_test(text_is_quoted),
        cmocka_unit_test(a_difference_is_what_must_be_said),
        cmocka_unit_test(the_isolation_of_transactions_shows),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
