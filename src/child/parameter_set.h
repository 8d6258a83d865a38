// parameter_set.h: immutable, interned sets of (name, value), shared by whoever has equal ones.
//
// Two uses. A session's *settings*: name → the SQL statement that establishes the value on a server
// connection. What a client has been *told* by ParameterStatus: name → value. Thousands of sessions
// share a handful of sets, so a session keeps one pointer, and "is the server connection in line with
// this session?" is a comparison of two pointers. Single-threaded, per worker. A set must not outlive its table.
#pragma once

#include "sql/classification.h"

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace pgbalancer {

class ParameterSetTable;

class ParameterSet {
  public:
    struct Entry {
        std::string name;
        std::string value;
    };
    using Entries = std::vector<Entry>;
    // As kept: the texts belong to the table, which has each once. Most sets differ in a value or two.
    struct SharedEntry {
        const std::string &name;
        const std::string &value;
    };

    // Sorted by name, names unique.
    const std::vector<SharedEntry> &entries() const { return entries_; }
    Entries copy() const;
    const std::string *find(std::string_view name) const;
    bool empty() const { return entries_.empty(); }
    // Of settings: those that decide what a statement means when it is parsed (which names and literals in it stand for
    // what), as one text that is the same for sets that agree in them.
    const std::string &meaning() const { return meaning_; }
    // Of settings: default_transaction_isolation; unspecified: not among them.
    TransactionIsolation default_isolation() const { return default_isolation_; }

  private:
    friend class ParameterSetTable;
    friend class ParameterSetRef;
    std::vector<SharedEntry> entries_;
    std::string meaning_;
    TransactionIsolation default_isolation_ = TransactionIsolation::unspecified;
    uint64_t hash_ = 0;
    ParameterSetTable *table_ = nullptr;
    uint32_t references_ = 0;
};

// Counted reference. Never null once taken from a table; a default-constructed one is.
class ParameterSetRef {
  public:
    ParameterSetRef() = default;
    explicit ParameterSetRef(ParameterSet *set) : set_(set) { retain(); }
    ParameterSetRef(const ParameterSetRef &other) : set_(other.set_) { retain(); }
    ParameterSetRef(ParameterSetRef &&other) noexcept : set_(std::exchange(other.set_, nullptr)) {}
    ParameterSetRef &operator=(ParameterSetRef other) noexcept {
        std::swap(set_, other.set_);
        return *this;
    }
    ~ParameterSetRef() { release(); }

    const ParameterSet &operator*() const { return *set_; }
    const ParameterSet *operator->() const { return set_; }
    explicit operator bool() const { return set_ != nullptr; }
    bool operator==(const ParameterSetRef &other) const { return set_ == other.set_; }

  private:
    void retain() {
        if (set_ != nullptr) {
            set_->references_++;
        }
    }
    void release() {
        if (set_ != nullptr && --set_->references_ == 0) {
            forget();
        }
    }
    void forget();
    ParameterSet *set_ = nullptr;
};

class ParameterSetTable {
  public:
    ParameterSetTable() = default;
    ParameterSetTable(const ParameterSetTable &) = delete;
    ParameterSetTable &operator=(const ParameterSetTable &) = delete;
    ~ParameterSetTable();

    // Sorts; of equal names the last wins.
    ParameterSetRef intern(ParameterSet::Entries entries);
    ParameterSetRef empty() { return intern({}); }
    ParameterSetRef with(const ParameterSet &set, std::string_view name, std::string_view value);
    ParameterSetRef without(const ParameterSet &set, std::string_view name);
    size_t size() const { return sets_.size(); }

  private:
    friend class ParameterSetRef;
    void forget(ParameterSet *set);
    const std::string &keep(std::string &&text);
    void release(const std::string &text);

    std::unordered_multimap<uint64_t, ParameterSet *> sets_;
    std::unordered_map<std::string, uint32_t> texts_; // with the number of entries that refer to them
};

// -- Settings as SQL.

// The level that a value of default_transaction_isolation, or a statement that sets it, names; where that is not clear,
// the highest.
TransactionIsolation isolation_named(std::string_view text);

std::string quote_literal(std::string_view text);
std::string quote_setting_name(std::string_view name);
// The statement that sets a parameter to a value as PostgreSQL prints or takes it at startup.
std::string setting_statement(std::string_view name, std::string_view value);
// The inverse: name and value in a statement that setting_statement() made.
ParameterSet::Entry setting_in_statement(std::string_view statement);
// Statements, joined by semicolons, that turn a server connection with the settings `from` into one with `to`.
// Empty when there is nothing to do. All of it is one implicit transaction when sent as one Query. In two parts,
// because client_encoding and standard_conforming_strings decide how the text of the others is read.
enum class SettingsPart : uint8_t { reading, others };
std::string settings_difference(const ParameterSet &from, const ParameterSet &to, SettingsPart part);

} // namespace pgbalancer
