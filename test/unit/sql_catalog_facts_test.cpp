// What the facts add to a Classification, before and after they are loaded.
#include "sql/catalog_facts.h"

#include "sql/classifier.h"
#include "sql/token_scanner.h"

#include <cstdio>
#include <cstring>
#include <span>
#include <string>
#include <string_view>

#include "unit/classification_text.h"
#include "unit/cmocka_cpp.h"

namespace {

using namespace pgbalancer;

// As the catalog query would return them.
void load(CatalogFacts &facts) {
    static const std::pair<const char *, const char *> kRows[] = {
        {"function:h", "harmless"},
        {"function:h", "s.harmless"},
        {"function:h", "mixed"},
        {"function:h", "a.mixed"},
        {"function:o", "mixed"},
        {"function:o", "b.mixed"},
        {"function:o", "opaque"},
        {"function:v", "uuid_generate_v4"},
        {"function:p", "dblink_connect"},
        {"function:o", "format"},
        {"function:h", "lower"},
        {"operator:h", "<<<>>>"},
        {"operator:o", "@#@"},
        {"operator:h", "s.+"},
        {"type:o", "baddom"},
        {"type:o", "s.baddom"},
        {"attribute:o", "computed"},
        {"relation:r", "badview"},
        {"relation:r", "s.badview"},
        {"relation:w", "withtrigger"},
        {"relation:s", "withserial"},
        {"relation:ws", "busy"},
        {"relation:t", "seqview"},
        {"relation:p", "statview"},
        {"relation:tp", "seqstat"},
        {"relation:w", "caf\xc3\xa9"},
        {"function:h", "na\xc3\xafve"},
        {"attribute:o", "\xc3\xa9t\xc3\xa9"},
        {"function:n", "stable"},
        {"function:b", "bound"},
        {"function:nx", "stable_resetting"},
        {"relation:n", "clockview"},
        {"something:new", "x"},
        {"", ""},
        {"relation:", "nothing"},
        {"relation", "nothing"},
    };
    facts.begin();
    for (const auto &[kind, name] : kRows) {
        facts.add_row(kind, name);
    }
    facts.finish();
}

std::string added(const CatalogFacts &facts, const char *sql) {
    Classification only;
    only.effects = facts.effects_of(classify_text(sql, {}));
    const std::string text = describe(only);
    return text == "unknown" ? "" : text.substr(strlen("unknown "));
}

struct Row {
    const char *sql;
    const char *expected;
};

int count_wrong(const CatalogFacts &facts, std::span<const Row> rows) {
    int wrong = 0;
    for (const Row &row : rows) {
        const std::string found = added(facts, row.sql);
        if (found != row.expected) {
            printf("%s\n  expected %s\n  found    %s\n", row.sql, row.expected, found.c_str());
            ++wrong;
        }
    }
    return wrong;
}

void unloaded_facts_trust_builtins_only(void **) {
    static const Row kRows[] = {
        {"SELECT 1", ""},
        {"SELECT pg_catalog.lower('X'), CURRENT_TIMESTAMP, a = 1 + 2, 'x'::text", ""},
        {"SELECT lower('X')", "Opaque Volatile"}, // a user's overload may be meant
        {"SELECT * FROM pg_catalog.pg_class, information_schema.tables", ""},
        {"BEGIN", ""},
        {"SET work_mem = 1", ""},
        {"SELECT * FROM t", "Opaque Volatile"},
        {"SELECT f(1)", "Opaque Volatile"},
        {"SELECT 1 <<<>>> 2", "Opaque Volatile"},
        {"SELECT 'x'::mytype", "Opaque Volatile"},
        {"INSERT INTO t VALUES (1)", "Opaque Volatile SerialInsert"},
        {"CREATE TABLE s.t (a int)", "Opaque Volatile"},
    };
    const CatalogFacts facts(7);
    assert_int_equal(count_wrong(facts, kRows), 0);
}

void loaded_facts_judge_by_name(void **) {
    static const Row kRows[] = {
        {"SELECT 1", ""},
        {"SELECT harmless(1), s.harmless(2)", ""},
        {"SELECT unheard_of(1)", "Opaque Volatile"},
        {"SELECT other.harmless(1)", "Opaque Volatile"},
        {"SELECT opaque()", "Opaque Volatile"},
        {"SELECT mixed(1)", "Opaque Volatile"}, // harmless in one schema, opaque in another
        {"SELECT a.mixed(1)", ""},
        {"SELECT b.mixed(1)", "Opaque Volatile"},
        {"SELECT stable()", "Now"},
        {"SELECT bound()", "NodeBound"},
        {"SELECT stable_resetting()", "ResetsInside Now"},
        {"SELECT * FROM clockview", "Now"},
        {"SELECT uuid_generate_v4()", "Volatile"},
        {"SELECT dblink_connect('x')", "PinSession Volatile"},
        {"SELECT format('x')", "Opaque Volatile"}, // a user's overload
        {"SELECT pg_catalog.format('x')", ""},
        {"SELECT lower('x')", ""},
        {"EXPLAIN SELECT opaque()", "Opaque Volatile"},
        {"SELECT a <<<>>> b FROM t", ""},
        {"SELECT a OPERATOR(s.+) b", ""},
        {"SELECT a OPERATOR(t.+) b", "Opaque Volatile"},
        {"SELECT a @#@ b", "Opaque Volatile"},
        {"SELECT a <#< b", "Opaque Volatile"},
        {"SELECT a::gooddom", ""},
        {"SELECT a::baddom", "Opaque Volatile"},
        {"SELECT a::s.baddom[]", "Opaque Volatile"},
        {"SELECT a::other.baddom", ""},
        {"SELECT t.computed FROM t", "Opaque Volatile"},
        {"SELECT (t).computed FROM t", "Opaque Volatile"},
        {"SELECT computed FROM t", ""},
        {"SELECT t.plain FROM t", ""},
        {"SELECT * FROM plain", ""},
        {"INSERT INTO plain VALUES (1)", ""},
        {"SELECT * FROM badview", "Opaque Volatile"},
        {"SELECT * FROM s.badview", "Opaque Volatile"},
        {"SELECT * FROM t.badview", ""},
        {"SELECT * FROM withtrigger", ""},
        {"DELETE FROM withtrigger", "Opaque Volatile"},
        {"COPY withtrigger FROM STDIN", "Opaque Volatile"},
        {"COPY withtrigger TO STDOUT", ""},
        {"TRUNCATE withtrigger", "Opaque Volatile"},
        {"EXPLAIN ANALYZE UPDATE withtrigger SET a = 1", "Opaque Volatile"},
        {"EXPLAIN UPDATE withtrigger SET a = 1", ""},
        {"WITH w AS (DELETE FROM withtrigger RETURNING *) SELECT * FROM w", "Opaque Volatile"},
        {"INSERT INTO withserial VALUES (DEFAULT)", "SerialInsert"},
        {"SELECT * FROM withserial", ""},
        {"INSERT INTO busy SELECT * FROM statview", "Opaque NodeBound Volatile SerialInsert"},
        {"SELECT * FROM seqview", "Volatile SerialInsert"},
        {"SELECT * FROM statview", "NodeBound"},
        {"SELECT * FROM seqstat", "NodeBound Volatile SerialInsert"},
        {"CREATE TABLE s.t (a int)", ""},
        {"INSERT INTO nothing VALUES (1)", ""},
        // The same names in another encoding, or other names: nobody can tell.
        {"INSERT INTO caf\xe9 VALUES (1)", "Opaque Volatile"},
        {"INSERT INTO \xc3\xa9 VALUES (1)", "Opaque Volatile"},
        {"SELECT na\xefve()", ""},
        {"SELECT t.\xe9t\xe9 FROM t", "Opaque Volatile"},
    };
    CatalogFacts facts(7);
    load(facts);
    assert_int_equal(count_wrong(facts, kRows), 0);
}

void flags_reach_further(void **) {
    static const Row kTriggers[] = {
        {"CREATE TABLE s.t (a int)", "Opaque Volatile"},
        {"GRANT SELECT ON t TO u", "Opaque Volatile"},
        {"SELECT * FROM t", ""},
    };
    static const Row kAnything[] = {
        {"SELECT 1 + 1", ""},
        {"SELECT * FROM t", "Opaque Volatile"},
        {"SELECT harmless()", "Opaque Volatile"},
        {"SELECT 'x'::mytype", "Opaque Volatile"},
    };
    CatalogFacts triggers(1);
    triggers.begin();
    triggers.add_row("event_trigger:", "");
    triggers.finish();
    CatalogFacts anything(1);
    anything.begin();
    anything.add_row("anything:", "");
    anything.add_row("function:h", "harmless");
    anything.finish();
    const int wrong = count_wrong(triggers, kTriggers) + count_wrong(anything, kAnything);
    assert_int_equal(wrong, 0);
}

// What resets settings is known on after DDL: a session must be prepared for it.
void resets_are_remembered(void **) {
    CatalogFacts facts(1);
    facts.begin();
    facts.add_row("function:ox", "resets");
    facts.add_row("function:px", "keeps");
    facts.add_row("operator:ox", "@#@");
    facts.add_row("type:ox", "dom");
    facts.add_row("relation:sW", "triggered");
    facts.add_row("relation:R", "view");
    facts.add_row("function:o", "opaque");
    facts.add_row("reset_setting:", "work_mem");
    facts.add_row("reset_setting:", "time");
    facts.finish();
    static const Row kLoaded[] = {
        {"SELECT resets()", "ResetsInside Opaque Volatile"},
        {"SELECT keeps()", "PinSession ResetsInside Volatile"},
        {"SELECT 1 @#@ 2", "ResetsInside Opaque Volatile"},
        {"SELECT 1::dom", "ResetsInside Opaque Volatile"},
        {"SELECT * FROM triggered", ""},
        {"UPDATE triggered SET a = 1", "ResetsInside Opaque Volatile SerialInsert"},
        {"SELECT * FROM view", "ResetsInside Opaque Volatile"},
        {"SELECT opaque()", "Opaque Volatile"},
    };
    int wrong = count_wrong(facts, kLoaded);
    const bool names = facts.reset_settings() == std::vector<std::string>{"work_mem", "timezone"};
    const bool named = facts.names_resetting_function("DO $$ PERFORM s.Resets() $$") &&
                       facts.names_resetting_function("resets") &&
                       !facts.names_resetting_function("DO $$ PERFORM resets_not(); opaque() $$");
    facts.forget();
    static const Row kForgotten[] = {
        {"SELECT resets()", "ResetsInside Opaque Volatile"},
        {"UPDATE triggered SET a = 1", "ResetsInside Opaque Volatile SerialInsert"},
        {"SELECT opaque()", "Opaque Volatile"},
        {"SELECT 1", ""},
    };
    wrong += count_wrong(facts, kForgotten);
    assert_int_equal(wrong, 0);
    assert_true(names);
    assert_true(named);
}

void a_load_counts_when_it_is_finished(void **) {
    CatalogFacts facts(1);
    const uint64_t unloaded = facts.stamp();
    facts.begin();
    facts.add_row("function:h", "f");
    const std::string meanwhile = added(facts, "SELECT f()");
    const uint64_t loading = facts.stamp();
    facts.finish();
    const std::string finished = added(facts, "SELECT f()");
    const uint64_t first = facts.stamp();
    facts.begin();
    facts.add_row("function:o", "f");
    facts.abandon();
    const std::string abandoned = added(facts, "SELECT f()");
    const uint64_t same = facts.stamp();
    facts.begin();
    facts.finish();
    const std::string emptied = added(facts, "SELECT f()");
    const uint64_t second = facts.stamp();
    facts.forget();
    const uint64_t forgotten = facts.stamp();
    assert_string_equal(meanwhile.c_str(), "Opaque Volatile");
    assert_string_equal(finished.c_str(), "");
    assert_string_equal(abandoned.c_str(), "");
    assert_string_equal(emptied.c_str(), "Opaque Volatile");
    assert_int_equal(unloaded, loading);
    assert_int_equal(first, same);
    assert_int_not_equal(unloaded, first);
    assert_int_not_equal(first, second);
    assert_int_not_equal(second, forgotten);
    assert_int_not_equal(CatalogFacts(1).stamp(), CatalogFacts(2).stamp());
}

// Counts what in a text is looked up by its bare name: operators, types in casts, and syntax that stands for an
// operator.
struct BareNames {
    std::string last;
    int found = 0;
    void next(const std::string &token, bool bare) {
        if (bare || (last == "::" && token != "pg_catalog")) {
            printf("bare: %s %s\n", last.c_str(), token.c_str());
            ++found;
        }
        last = token;
    }
    void word(const char *text, size_t size) {
        const std::string word(text, size);
        next(word,
             std::string(" IN LIKE ILIKE SIMILAR BETWEEN USING NATURAL NULLIF OVERLAPS ").find(' ' + word + ' ') !=
                     std::string::npos ||
                 (word == "FROM" && last == "DISTINCT"));
    }
    void quoted_word(const char *text, size_t size) { next(std::string(text, size), false); }
    void literal(LiteralKind) { next("literal", false); }
    void operation(const char *text, size_t size) {
        const std::string operation(text, size);
        next(operation, std::string("()[],.;::").find(operation) == std::string::npos && last != ".");
    }
};

// The session's search_path is anybody's.
void the_query_trusts_no_search_path(void **) {
    const Classification what = classify_text(catalog_facts_query(), {});
    BareNames names;
    const bool scanned = scan_tokens(catalog_facts_query(), {}, names);
    int bare = 0;
    for (const std::string &relation : what.relations) {
        const bool own = std::string(" builtin reset resetting fn stored mentioned edge reached opaque found ")
                             .find(' ' + relation + ' ') != std::string::npos; // its common table expressions
        if (!own && !relation.starts_with("pg_catalog.")) {
            printf("bare: %s\n", relation.c_str());
            ++bare;
        }
    }
    assert_true(scanned);
    assert_int_equal(bare + names.found, 0);
    assert_true(what.builtins.empty()); // all calls are qualified
    assert_true(what.functions.empty());
    assert_true(what.operators.empty());
    assert_true(what.types.empty());
    assert_int_equal(what.kind, StatementKind::multiple);
    assert_int_equal(what.effects, 0);
    assert_false(what.writes_relations);
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(unloaded_facts_trust_builtins_only),
        cmocka_unit_test(loaded_facts_judge_by_name),
        cmocka_unit_test(flags_reach_further),
        cmocka_unit_test(resets_are_remembered),
        cmocka_unit_test(a_load_counts_when_it_is_finished),
        cmocka_unit_test(the_query_trusts_no_search_path),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
