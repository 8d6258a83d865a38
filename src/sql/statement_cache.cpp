#include "sql/statement_cache.h"

#include "sql/catalog_facts.h"
#include "sql/classifier.h"

#include <algorithm>
#include <bit>
#include <string>

namespace pgbalancer {

namespace {

// Texts and results above these are not kept: an entry is bounded in size, and a fingerprint in its odds of collision.
constexpr size_t kLongestKept = 256 * 1024;
constexpr size_t kLargestKept = 8 * 1024;

size_t footprint(const Classification &what) {
    size_t bytes = what.name.size() + what.attributes.size() * sizeof(uint32_t);
    for (const auto *names : {&what.functions, &what.relations, &what.operators, &what.types, &what.builtins}) {
        for (const std::string &name : *names) {
            bytes += sizeof(std::string) + name.size();
        }
    }
    return bytes;
}

} // namespace

CachedStatement::Memo &CachedStatement::memo(const CatalogFacts &facts) {
    const uint64_t stamp = facts.stamp();
    for (Memo &memo : memos_) {
        if (memo.stamp == stamp) {
            return memo;
        }
    }
    Memo &memo = memos_[next_memo_];
    next_memo_ = static_cast<uint8_t>((next_memo_ + 1) % memos_.size());
    memo = {.stamp = stamp, .effects = what_.effects | facts.effects_of(what_)};
    return memo;
}

uint32_t CachedStatement::effects(const CatalogFacts &facts) { return memo(facts).effects; }

uint32_t CachedStatement::verdict(const CatalogFacts &facts, uint32_t rules) {
    const Memo &known = memo(facts);
    return known.rules == rules ? known.verdict : 0;
}

void CachedStatement::keep_verdict(const CatalogFacts &facts, uint32_t rules, uint32_t verdict) {
    Memo &known = memo(facts);
    known.rules = rules;
    known.verdict = verdict;
}

StatementCache::StatementCache(size_t max_entries)
    : sets_(std::bit_floor(std::max<size_t>(max_entries / kWays, 1))), mask_(sets_.size() - 1) {}

StatementCache::~StatementCache() = default;

// A free place, or the first one the hand meets that was not hit since it last came by.
size_t StatementCache::place_for(Set &set) {
    for (size_t way = 0; way < kWays; ++way) {
        if (!set.statements[way]) {
            return way;
        }
    }
    for (;;) {
        const size_t way = set.hand;
        set.hand = static_cast<uint8_t>((way + 1) % kWays);
        const auto bit = static_cast<uint8_t>(1U << way);
        if ((set.used_since & bit) == 0) {
            ++counters_.evictions;
            return way;
        }
        set.used_since = static_cast<uint8_t>(set.used_since & ~bit);
    }
}

StatementRef StatementCache::classify(std::string_view sql, LexRules rules) {
    const auto key = sql.size() <= kLongestKept ? fingerprint(sql, key_, rules) : std::nullopt;
    if (!key) {
        ++counters_.uncached;
        return StatementRef(new CachedStatement(classify_text(sql, rules)));
    }
    Set &set = sets_[key->low & mask_];
    for (size_t way = 0; way < kWays; ++way) {
        if (set.keys[way] == *key && set.statements[way]) {
            ++counters_.hits;
            set.used_since = static_cast<uint8_t>(set.used_since | 1U << way);
            return set.statements[way];
        }
    }
    StatementRef statement(new CachedStatement(classify_text(sql, rules)));
    if (footprint(statement->what()) > kLargestKept) {
        ++counters_.uncached;
        return statement;
    }
    ++counters_.misses;
    const size_t way = place_for(set);
    set.keys[way] = *key;
    set.statements[way] = statement;
    set.used_since = static_cast<uint8_t>(set.used_since & ~(1U << way));
    return statement;
}

} // namespace pgbalancer
