// Which settings a text resets: in blocks, in functions, between other statements. What is classified is so for real.
#include "child/reset_names.h"
#include "sql/classifier.h"

#include <algorithm>
#include <memory>

#include "unit/cmocka_cpp.h"

namespace {

using namespace pgbalancer;

std::string found_in(std::string_view text) {
    std::string found;
    for (const std::string &name : settings_reset_in(classify_text(text, {}), text)) {
        found += (found.empty() ? "" : " ") + name;
    }
    return found;
}

struct Case {
    const char *text;
    const char *found;
};

int count_wrong(std::initializer_list<Case> cases) {
    int wrong = 0;
    for (const Case &c : cases) {
        const std::string found = found_in(c.text);
        if (found != c.found) {
            print_error("%s\n  found    %s\n  expected %s\n", c.text, found.c_str(), c.found);
            wrong++;
        }
    }
    return wrong;
}

void single_statements_say_it_themselves(void **) {
    const int wrong = count_wrong({
        {"RESET work_mem", "work_mem"},
        {"reset ALL", "all"},
        {"SET A.b TO DEFAULT", "a.b"},
        {"SET LOCAL a TO DEFAULT", "a"},
        {"SET TIME ZONE LOCAL", "timezone"},
        {"RESET SESSION AUTHORIZATION", "session_authorization"},
        {"DISCARD ALL", "all"},
        {"SELECT set_config('A.b', NULL, false)", "a.b"},
        {"SELECT set_config($1, NULL, false)", "all"},
        {"SELECT set_config(lower('x', 'y'), NULL, false)", "all"},
        {"SELECT \"set_config\" ( 'a' , null::text, true)", "a"},
        {"UPDATE pg_catalog.pg_settings SET setting = NULL", "all"},
    });
    assert_int_equal(wrong, 0);
}

void several_statements(void **) {
    const int wrong = count_wrong({
        {"RESET a; SHOW a", "a"},
        {"SELECT 1; RESET \"A\".b; SET c = DEFAULT; SET SESSION d TO DEFAULT; SET LOCAL e=default; SELECT 1",
         "a.b c d e"},
        {"RESET /* x; RESET y */ a; -- SET b TO DEFAULT;\nSELECT 1; /**/ RESET c; SELECT 1", "a c"},
        {"SELECT '--'; RESET a; SELECT 1", "a"},
        {"RESET TIME ZONE; SET TIME ZONE DEFAULT; SET SESSION AUTHORIZATION DEFAULT; SELECT 1",
         "timezone timezone session_authorization"},
        {"SET NAMES DEFAULT; SELECT 1", "all"}, // not read, but one was there
        {"SELECT reset FROM reset; SELECT 1", ""},
        {"UPDATE t SET a = DEFAULT; SELECT 1", ""},
        {"UPDATE pg_settings SET setting = 'x'; SELECT 1", ""},
        {"UPDATE pg_settings SET setting = 'x', name = default; SELECT 1", "all"},
    });
    assert_int_equal(wrong, 0);
}

void blocks(void **) {
    const int wrong = count_wrong({
        {"DO $$ BEGIN RESET work_mem; END $$", "work_mem"},
        {"DO $body$BEGIN PERFORM 1; RESET work_mem; END$body$", "work_mem"},
        {"DO 'BEGIN RESET work_mem; END'", "work_mem"},
        {"DO $$ BEGIN IF a THEN RESET a; ELSE SET b TO DEFAULT; END IF; LOOP RESET c; END LOOP; <<x>> RESET d; END $$",
         "a b c d"},
        {"DO $$ BEGIN -- a RESET\n RESET a; /* RESET x */ RESET b; END $$", "a b"},
        {"DO $$ BEGIN EXECUTE 'RESET a'; EXECUTE $q$SET b TO DEFAULT$q$; END $$", "a b"},
        {"DO $$ BEGIN EXECUTE 'RESET ' || a; EXECUTE format('RESET %I', a); END $$", "all all"},
        {"DO $$ BEGIN EXECUTE format('SET %I TO DEFAULT', a); EXECUTE 'SET ' || a || ' TO DEFAULT'; END $$", "all all"},
        {"DO $$ BEGIN PERFORM set_config('a', NULL, false); END $$", "a"},
        {"DO $$ BEGIN PERFORM set_config('a', 'NULL', false); END $$", ""},
        {"DO 'BEGIN PERFORM set_config(''a'', NULL, false); END'", "a"},
        {"DO $$ BEGIN UPDATE t SET a = DEFAULT; INSERT INTO t VALUES (DEFAULT); reset := 1; END $$", ""},
        {"DO $$ BEGIN UPDATE \"t\" SET a = DEFAULT; ALTER TABLE t RESET (fillfactor); END $$", ""},
        {"DO $$ BEGIN INSERT INTO t VALUES (1) ON CONFLICT DO UPDATE SET a = DEFAULT; PERFORM pg_stat_reset(); END $$",
         ""},
        {"DO LANGUAGE plpython3u $$\nplpy.execute(\"RESET a\")\n$$", "a"},
    });
    assert_int_equal(wrong, 0);
}

// Nothing is read behind the end: under a sanitizer, each prefix stands at the end of its memory.
void texts_end_where_they_end(void **) {
    const std::string_view whole =
        "DO $$ x \"RESET \"a\".b; SET SESSION TIME ZONE DEFAULT; SET %I = DEFAULT; /* -- */ -- \n"
        "UPDATE pg_settings SET a = null; set_config ( ''a'' , NULL; ' TO DEFAULT";
    Classification block;
    block.kind = StatementKind::do_block;
    size_t most = 0;
    for (size_t size = 0; size <= whole.size(); size++) {
        const std::unique_ptr<char[]> exact(new char[size]);
        std::copy_n(whole.begin(), size, exact.get());
        most = std::max(most, settings_reset_in(block, {exact.get(), size}).size());
    }
    assert_int_equal(most, 6);
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(single_statements_say_it_themselves),
        cmocka_unit_test(several_statements),
        cmocka_unit_test(blocks),
        cmocka_unit_test(texts_end_where_they_end),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
