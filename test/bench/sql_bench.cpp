// What a statement costs before it is known and after. Prints nanoseconds: the best of several rounds, which is what
// the code costs when the machine does nothing else. Not part of any check. From the top of the tree, after `make`:
//   g++ -std=c++20 -O2 -Isrc/include -Isrc test/bench/sql_bench.cpp build/libpgbalancer.a -lpg_query -o build/sql_bench
#include "common/clock.h"
#include "sql/catalog_facts.h"
#include "sql/classifier.h"
#include "sql/fingerprint.h"
#include "sql/statement_cache.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <string>
#include <string_view>

namespace {

using namespace pgbalancer;

template <class Work> double best_ns(int rounds, int repeats, Work work) {
    double best = 1e18;
    for (int round = 0; round < rounds; ++round) {
        const auto start = monotonic_now();
        for (int i = 0; i < repeats; ++i) {
            work();
        }
        const std::chrono::duration<double, std::nano> spent = monotonic_now() - start;
        best = std::min(best, spent.count() / repeats);
    }
    return best;
}

void measure(std::string_view label, std::string_view sql) {
    const FingerprintKey key;
    StatementCache cache(1024);
    CatalogFacts facts(1);
    facts.begin();
    facts.finish();
    uint64_t sum = 0;
    const int repeats = sql.size() > 1000 ? 200 : 20000;
    const double hash = best_ns(30, repeats, [&] { sum += fingerprint(sql, key, {}).value_or(Fingerprint{}).low; });
    const double hit = best_ns(30, repeats, [&] { sum += cache.classify(sql, {})->effects(facts); });
    const double miss = best_ns(10, sql.size() > 1000 ? 3 : 300, [&] { sum += classify_text(sql, {}).effects; });
    printf("%-28.*s %8zu %12.1f %12.1f %12.0f\n", static_cast<int>(label.size()), label.data(), sql.size(), hash, hit,
           miss);
    asm volatile("" : : "r"(sum));
}

} // namespace

int main() {
    printf("%-28s %8s %12s %12s %12s\n", "statement", "bytes", "fingerprint", "hit", "miss");
    measure("pgbench select", "SELECT abalance FROM pgbench_accounts WHERE aid = 12345;");
    measure("the same, prepared", "SELECT abalance FROM pgbench_accounts WHERE aid = $1;");
    measure("pgbench update accounts", "UPDATE pgbench_accounts SET abalance = abalance + -321 WHERE aid = 9321;");
    measure("pgbench update tellers", "UPDATE pgbench_tellers SET tbalance = tbalance + 17 WHERE tid = 3;");
    measure("pgbench update branches", "UPDATE pgbench_branches SET bbalance = bbalance + 17 WHERE bid = 1;");
    measure("pgbench insert",
            "INSERT INTO pgbench_history (tid, bid, aid, delta, mtime) VALUES (3, 1, 9321, 17, CURRENT_TIMESTAMP);");
    measure("BEGIN", "BEGIN;");
    measure("END", "END;");
    std::string rows = "INSERT INTO t (a, b, c) VALUES (1, 'x', now())";
    for (int i = 0; i < 1000; ++i) {
        rows += ", (" + std::to_string(i) + ", 'some text', now())";
    }
    measure("insert of 1001 rows", rows);
    std::string list = "SELECT * FROM t WHERE a IN (1";
    for (int i = 0; i < 1000; ++i) {
        list += ", " + std::to_string(i);
    }
    measure("list of 1001 numbers", list + ")");
    return 0;
}
