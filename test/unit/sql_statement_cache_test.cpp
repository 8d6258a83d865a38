// What the cache keeps, what it gives up, and that what it handed out stays.
#include "sql/statement_cache.h"

#include "sql/catalog_facts.h"

#include <string>
#include <vector>

#include "unit/cmocka_cpp.h"

namespace {

using namespace pgbalancer;

void one_statement_is_parsed_once(void **) {
    StatementCache cache(64);
    const StatementRef first = cache.classify("SELECT a FROM t WHERE b = 1", {});
    const StatementRef second = cache.classify("select a from t where b = 2 -- again", {});
    const StatementRef other = cache.classify("SELECT a FROM u WHERE b = 1", {});
    const auto counters = cache.counters();
    assert_true(&*first == &*second);
    assert_true(&*first != &*other);
    assert_int_equal(counters.hits, 1);
    assert_int_equal(counters.misses, 2);
    assert_int_equal(counters.evictions, 0);
    assert_int_equal(counters.uncached, 0);
}

void what_the_lexer_doubts_is_not_kept(void **) {
    StatementCache cache(64);
    const StatementRef first = cache.classify("SELECT 'a", {});
    const StatementRef second = cache.classify("SELECT 'a", {});
    const StatementRef empty = cache.classify("", {});
    const auto counters = cache.counters();
    assert_true(&*first != &*second);
    assert_int_equal(first->what().kind, StatementKind::unknown);
    assert_int_equal(empty->what().kind, StatementKind::empty);
    assert_int_equal(counters.uncached, 2);
    assert_int_equal(counters.misses, 1);
}

void what_the_parser_refuses_is_kept(void **) {
    StatementCache cache(64);
    const StatementRef first = cache.classify("SELEC 1", {});
    const StatementRef second = cache.classify("SELEC 2", {});
    assert_true(&*first == &*second);
    assert_int_equal(first->what().kind, StatementKind::unknown);
}

void the_settings_of_a_text_are_part_of_it(void **) {
    StatementCache cache(64);
    const char *const sql = "SELECT 'a\\', nextval('s')";
    const StatementRef plain = cache.classify(sql, {});
    const StatementRef escaped = cache.classify(sql, {.standard_conforming_strings = false});
    assert_int_equal(plain->what().effects & kPinSequence, kPinSequence);
    assert_int_equal(escaped->what().kind, StatementKind::unknown);
}

void large_results_are_not_kept(void **) {
    std::string sql = "SELECT 1 FROM a";
    for (int i = 0; i < 400; ++i) {
        sql += ", a_rather_long_relation_name_" + std::to_string(i);
    }
    StatementCache cache(64);
    const StatementRef first = cache.classify(sql, {});
    const StatementRef second = cache.classify(sql, {});
    assert_true(&*first != &*second);
    assert_int_equal(first->what().relations.size(), 401);
    assert_int_equal(cache.counters().uncached, 2);
}

// Texts that have nothing in common but the cache.
std::string text_number(int i) { return "SELECT a FROM t" + std::to_string(i); }

void the_cache_is_bounded(void **) {
    StatementCache cache(100);
    const size_t capacity = cache.capacity();
    for (int i = 0; i < 1000; ++i) {
        (void)cache.classify(text_number(i), {});
    }
    const auto filled = cache.counters();
    assert_int_equal(capacity, 64);
    assert_int_equal(filled.misses, 1000);
    assert_true(filled.evictions >= 1000 - 64);
    assert_int_equal(StatementCache(0).capacity(), 8);
    assert_int_equal(StatementCache(8192).capacity(), 8192);
}

void what_is_used_outlives_what_is_not(void **) {
    StatementCache cache(64);
    (void)cache.classify("SELECT favourite FROM t", {});
    for (int i = 0; i < 2000; ++i) {
        (void)cache.classify(text_number(i), {});
        (void)cache.classify("SELECT favourite FROM t", {});
    }
    assert_int_equal(cache.counters().hits, 2000);
}

void references_outlive_eviction_and_cache(void **) {
    std::vector<StatementRef> kept;
    {
        StatementCache cache(8);
        for (int i = 0; i < 100; ++i) {
            kept.push_back(cache.classify(text_number(i), {}));
        }
        StatementRef copy = kept.front();
        kept.push_back(copy);
        copy = kept.back();
        copy = StatementRef();
    }
    int wrong = 0;
    for (int i = 0; i < 100; ++i) {
        wrong += kept[static_cast<size_t>(i)]->what().relations.at(0) == "t" + std::to_string(i) ? 0 : 1;
    }
    assert_int_equal(wrong, 0);
    assert_true(&*kept.front() == &*kept.back());
}

void effects_follow_the_facts(void **) {
    StatementCache cache(64);
    CatalogFacts one(1);
    CatalogFacts other(2);
    const StatementRef statement = cache.classify("SELECT f(1), nextval('s')", {});
    const uint32_t unloaded = statement->effects(one);
    one.begin();
    one.add_row("function:h", "f");
    one.finish();
    other.begin();
    other.add_row("function:o", "f");
    other.finish();
    std::vector<uint32_t> loaded;
    for (int i = 0; i < 3; ++i) { // more databases than are remembered at once
        loaded.push_back(statement->effects(one));
        loaded.push_back(statement->effects(other));
        loaded.push_back(statement->effects(CatalogFacts(3)));
    }
    one.begin();
    one.add_row("function:o", "f");
    one.finish();
    const uint32_t reloaded = statement->effects(one);
    one.forget();
    const uint32_t forgotten = statement->effects(one);
    assert_int_equal(unloaded & kOpaque, kOpaque);
    for (size_t i = 0; i < loaded.size(); ++i) {
        assert_int_equal((loaded[i] & kOpaque) != 0, i % 3 != 0);
        assert_int_equal(loaded[i] & kPinSequence, kPinSequence);
    }
    assert_int_equal(reloaded & kOpaque, kOpaque);
    assert_int_equal(forgotten & kOpaque, kOpaque);
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(one_statement_is_parsed_once),      cmocka_unit_test(what_the_lexer_doubts_is_not_kept),
        cmocka_unit_test(what_the_parser_refuses_is_kept),   cmocka_unit_test(the_settings_of_a_text_are_part_of_it),
        cmocka_unit_test(large_results_are_not_kept),        cmocka_unit_test(the_cache_is_bounded),
        cmocka_unit_test(what_is_used_outlives_what_is_not), cmocka_unit_test(references_outlive_eviction_and_cache),
        cmocka_unit_test(effects_follow_the_facts),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
