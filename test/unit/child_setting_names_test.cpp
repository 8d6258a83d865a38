// Readings of SQL text: BEGIN and its options, names of custom settings. What is classified is classified for real.
#include "child/setting_names.h"
#include "sql/statement_cache.h"

#include <algorithm>
#include <memory>

#include "unit/cmocka_cpp.h"

namespace {

using namespace pgbalancer;

StatementRef classify(std::string_view text) {
    static const auto cache = std::make_unique<StatementCache>(64);
    return cache->classify(text, {});
}

struct Begin {
    const char *text;
    bool start; // START TRANSACTION
    bool options;
};

const Begin kBegins[] = {
    {"BEGIN", false, false},
    {"begin;", false, false},
    {" \t\r\n\f BeGiN", false, false},
    {";;begin", false, false},
    {"BEGIN WORK", false, false},
    {"BEGIN TRANSACTION;", false, false},
    {"/* START TRANSACTION */ BEGIN", false, false},
    {"/* a /* nested */ comment */BEGIN/**/WORK", false, false},
    {"/*/ */BEGIN", false, false},
    {"-- READ ONLY\nBEGIN -- READ WRITE", false, false},
    {"BEGIN/* READ ONLY", false, false}, // no statement at all, if the comment has no end
    {"START TRANSACTION", true, false},
    {"start/**/transaction", true, false},
    {"--\nStart Transaction", true, false},
    {"BEGIN READ ONLY", false, true},
    {"BEGIN NOT DEFERRABLE", false, true},
    {"BEGIN TRANSACTION DEFERRABLE", false, true},
    {"BEGIN WORK READ WRITE", false, true},
    {"BEGIN ISOLATION LEVEL READ COMMITTED", false, true},
    {"START TRANSACTION READ ONLY, ISOLATION LEVEL SERIALIZABLE", true, true},
    {"START TRANSACTION/**/NOT/**/DEFERRABLE", true, true},
};

void a_begin_is_read(void **) {
    for (const Begin &c : kBegins) {
        const bool is_one = classify(c.text)->what().kind == StatementKind::begin;
        const bool may_be = may_be_begin(c.text);
        const bool start = starts_transaction(c.text);
        const bool options = has_options(c.text);
        if (!may_be || start != c.start || options != c.options) {
            print_error("%s\n", c.text);
        }
        assert_true(may_be || !is_one);
        assert_int_equal(start, c.start);
        assert_int_equal(options, c.options);
    }
}

// The look at the first letters may err only in one direction.
void no_begin_is_overlooked(void **) {
    const char *const others[] = {"SELECT 1",
                                  "COMMIT",
                                  "",
                                  "   ",
                                  "insert into t values (1)",
                                  "SET a = 1",
                                  "(SELECT 1)",
                                  "s",
                                  "ROLLBACK",
                                  "end",
                                  "savepoint a",
                                  "VALUES (1)",
                                  "with a as (select 1) select 1"};
    size_t ruled_out = 0;
    for (const char *text : others) {
        ruled_out += may_be_begin(text) ? 0 : 1;
    }
    size_t begins = 0;
    size_t overlooked = 0;
    for (const Begin &c : kBegins) {
        const bool is_one = classify(c.text)->what().kind == StatementKind::begin;
        begins += is_one ? 1 : 0;
        overlooked += is_one && !may_be_begin(c.text) ? 1 : 0;
    }
    assert_int_equal(ruled_out, std::size(others));
    assert_int_equal(begins, std::size(kBegins) - 1); // all but the one with the endless comment
    assert_int_equal(overlooked, 0);
}

void transaction_commands_are_three(void **) {
    const std::pair<const char *, bool> cases[] = {
        {"BEGIN", true},
        {"COMMIT", true},
        {"END", true},
        {"ROLLBACK", true},
        {"ABORT", true},
        {"SAVEPOINT a", false},
        {"RELEASE a", false},
        {"ROLLBACK TO a", false},
        {"SELECT 1", false},
        {"", false},
        {"BEGIN; COMMIT", false},
        {"PREPARE TRANSACTION 'a'", false},
        {"COMMIT PREPARED 'a'", false},
    };
    for (const auto &[text, expected] : cases) {
        const bool is_one = is_transaction_command(classify(text)->what().kind);
        assert_int_equal(is_one, expected);
    }
}

void custom_settings_are_found(void **) {
    const std::pair<const char *, const char *> cases[] = {
        {"SET app.tenant = 'bob'", "app.tenant "},
        {"SET SESSION App.Tenant TO 1", "app.tenant "},
        {"SET \"App\".\"User\" TO 1", "app.user "},
        {"RESET app.tenant", "app.tenant "},
        {"SET work_mem = '1MB'", ""},
        {"SELECT 1", ""},
        {"SELECT set_config('app.user', 'bob', false)", "app.user "},
        {"SELECT pg_catalog.SET_CONFIG ( 'App.User' , $1, false)", "app.user "},
        {"SELECT \"set_config\"('app.user', 'bob', false)", "app.user "},
        {"SELECT set_config('work_mem', '1MB', false)", ""},
        {"SELECT set_config('a.b', '1', false), set_config('c.d', '2', false)", "a.b c.d "},
        {"SELECT set_config('a.b', set_config('c.d', '2', false), false)", "a.b c.d "},
        {"SET a.b = 1; SET SESSION c.d = 2", "a.b c.d "},
        {"set a.b to 1;SET session \"C\".d = 2; SET x = 1; SET \"e\".\"f.g\" = 1", "a.b c.d e.f.g "},
        {"SELECT 1; SELECT set_config('a.b', '1', true); SET c.d = 1", "c.d a.b "},
        {"BEGIN; SELECT set_config", ""},
    };
    for (const auto &[text, expected] : cases) {
        std::string got;
        for (const std::string &name : custom_settings_in(classify(text)->what(), text)) {
            got += name + " ";
        }
        if (got != expected) {
            print_error("%s\n", text);
        }
        assert_string_equal(got.c_str(), expected);
    }
}

void a_name_that_is_not_in_the_text_is_noticed(void **) {
    const std::pair<const char *, bool> cases[] = {
        {"SELECT set_config('app.user', 'bob', false)", false},
        {"SELECT set_config('work_mem', '1MB', false)", false},
        {"SET app.tenant = 1", false},
        {"SELECT set_config($1, $2, false)", true},
        {"SELECT set_config(name, '1', false) FROM t", true},
        {"SELECT set_config('app.' || x, '1', false)", true},
        {"SELECT set_config('app.' 'user', '1', false)", true},
        {"SELECT set_config('it''s', '1', false)", true},
        {"SELECT set_config(E'app.user', '1', false)", true},
        {"SELECT set_config('app\\.user', '1', false)", true},
        {"SELECT set_config($$app.user$$, '1', false)", true},
        {"SELECT set_config(setting_name => 'a.b', new_value => '1', is_local => false)", true},
        {"SELECT set_config('a.b', '1', false), set_config($1, '1', false)", true},
        {"SELECT set_config(", true},
        {"SELECT set_config('a", true},
        {"SELECT set_config('a'", true},
    };
    for (const auto &[text, expected] : cases) {
        const bool unknown = sets_unknown_custom_setting(text);
        if (unknown != expected) {
            print_error("%s\n", text);
        }
        assert_int_equal(unknown, expected);
    }
}

// A text may end anywhere: nothing behind it is looked at.
void texts_end_where_they_end(void **) {
    const std::string_view whole = "/* a */ SET \"a\".b = 1; SELECT set_config ( 'c.d' , '1') -- b";
    size_t strange = 0;
    for (size_t size = 0; size <= whole.size(); size++) {
        const std::unique_ptr<char[]> exact(new char[size]);
        std::copy_n(whole.begin(), size, exact.get());
        const std::string_view text(exact.get(), size);
        Classification several;
        several.kind = StatementKind::multiple;
        for (const std::string &name : custom_settings_in(several, text)) {
            strange += name == "a." || name == "a.b" || name == "c.d" ? 0 : 1;
        }
        (void)sets_unknown_custom_setting(text);
        (void)may_be_begin(text);
        strange += starts_transaction(text) ? 1 : 0;
        (void)has_options(text);
    }
    assert_int_equal(strange, 0);
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(a_begin_is_read),
        cmocka_unit_test(no_begin_is_overlooked),
        cmocka_unit_test(transaction_commands_are_three),
        cmocka_unit_test(custom_settings_are_found),
        cmocka_unit_test(a_name_that_is_not_in_the_text_is_noticed),
        cmocka_unit_test(texts_end_where_they_end),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
