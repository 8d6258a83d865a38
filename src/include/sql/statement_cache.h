// statement_cache.h: text -> what it needs, parsed once per kind of statement.
//
// Owned by one worker, single-threaded. A hit costs one lexical pass and no allocation. Bounded: at most the entries
// asked for, each of a bounded size; the rest is parsed every time and not kept. What is handed out is reference
// counted and stays valid, unchanged in its Classification, for as long as someone holds it, also after its eviction
// and after the cache is gone.
#pragma once

#include "sql/classification.h"
#include "sql/fingerprint.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

namespace pgbalancer {

class CatalogFacts;

// A Classification and what one database's catalog adds to it.
class CachedStatement {
  public:
    const Classification &what() const { return what_; }
    // The effects visible in the text together with those only the catalog knows. Computed once per state of the facts
    // and remembered for the last few databases.
    uint32_t effects(const CatalogFacts &facts);
    // What its user made of the effects, by rules of its own that have a number: kept as long as the effects are.
    // 0: nothing is kept.
    uint32_t verdict(const CatalogFacts &facts, uint32_t rules);
    void keep_verdict(const CatalogFacts &facts, uint32_t rules, uint32_t verdict);

    CachedStatement(const CachedStatement &) = delete;
    CachedStatement &operator=(const CachedStatement &) = delete;

  private:
    friend class StatementCache;
    friend class StatementRef;
    explicit CachedStatement(Classification what) : what_(std::move(what)) {}

    struct Memo {
        uint64_t stamp = ~uint64_t{0}; // CatalogFacts::stamp(); all ones: unused
        uint32_t effects = 0;
        uint32_t rules = 0;
        uint32_t verdict = 0;
    };
    Memo &memo(const CatalogFacts &facts);
    Classification what_;
    uint32_t references_ = 0;
    uint8_t next_memo_ = 0;
    std::array<Memo, 2> memos_;
};

// A counted reference; null by default. Copying is an increment, not atomic: one process, one thread.
class StatementRef {
  public:
    StatementRef() = default;
    explicit StatementRef(CachedStatement *statement) : statement_(statement) { retain(); }
    StatementRef(const StatementRef &other) : statement_(other.statement_) { retain(); }
    StatementRef(StatementRef &&other) noexcept : statement_(std::exchange(other.statement_, nullptr)) {}
    StatementRef &operator=(StatementRef other) noexcept {
        std::swap(statement_, other.statement_);
        return *this;
    }
    ~StatementRef() {
        if (statement_ != nullptr && --statement_->references_ == 0) {
            delete statement_;
        }
    }

    explicit operator bool() const { return statement_ != nullptr; }
    CachedStatement &operator*() const { return *statement_; }
    CachedStatement *operator->() const { return statement_; }

  private:
    void retain() {
        if (statement_ != nullptr) {
            ++statement_->references_;
        }
    }
    CachedStatement *statement_ = nullptr;
};

class StatementCache {
  public:
    struct Counters {
        uint64_t hits = 0;
        uint64_t misses = 0;    // parsed and kept
        uint64_t evictions = 0; // made room for a miss
        uint64_t uncached = 0;  // not kept: lexically doubtful (and not parsed), or too large to keep
    };

    // Keeps at most max_entries (rounded down to a power of two, at least eight).
    explicit StatementCache(size_t max_entries);
    ~StatementCache();
    StatementCache(const StatementCache &) = delete;
    StatementCache &operator=(const StatementCache &) = delete;

    // Never null. `sql` is a whole Query or Parse text without its terminating NUL.
    [[nodiscard]] StatementRef classify(std::string_view sql, LexRules rules);

    const Counters &counters() const { return counters_; }
    size_t capacity() const { return sets_.size() * kWays; }

  private:
    // Eight places for a fingerprint, chosen by its low bits; the victim among them by second chance.
    static constexpr size_t kWays = 8;
    struct Set {
        std::array<Fingerprint, kWays> keys;
        std::array<StatementRef, kWays> statements;
        uint8_t used_since = 0; // one bit per way: hit since the hand last passed
        uint8_t hand = 0;
    };
    size_t place_for(Set &set);

    FingerprintKey key_;
    std::vector<Set> sets_;
    size_t mask_;
    Counters counters_;
};

} // namespace pgbalancer
