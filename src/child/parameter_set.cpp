#include "child/parameter_set.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <functional>

namespace pgbalancer {

namespace {

// What the parser and the input functions of literals go by (manual, Client Connection Defaults and Version and
// Platform Compatibility). Sorted.
constexpr std::string_view kParseSettings[] = {
    "array_nulls",
    "backslash_quote",
    "client_encoding",
    "datestyle",
    "default_text_search_config",
    "intervalstyle",
    "lc_monetary",
    "lc_numeric",
    "lc_time",
    "search_path",
    "standard_conforming_strings",
    "timezone",
    "timezone_abbreviations",
    "transform_null_equals",
    "xmloption",
};

uint64_t hash_of(const ParameterSet::Entries &entries) {
    uint64_t hash = 0x9e3779b97f4a7c15;
    for (const auto &entry : entries) {
        for (const std::string *part : {&entry.name, &entry.value}) {
            hash = (hash ^ std::hash<std::string>{}(*part)) * 0xff51afd7ed558ccd;
            hash ^= hash >> 32;
        }
    }
    return hash;
}

bool by_name(const ParameterSet::SharedEntry &a, std::string_view name) { return a.name < name; }

bool equal(const std::vector<ParameterSet::SharedEntry> &kept, const ParameterSet::Entries &given) {
    return std::equal(kept.begin(), kept.end(), given.begin(), given.end(),
                      [](const auto &a, const auto &b) { return a.name == b.name && a.value == b.value; });
}

constexpr std::string_view kSetConfig = "SELECT pg_catalog.set_config(";

} // namespace

ParameterSet::Entries ParameterSet::copy() const {
    Entries out;
    out.reserve(entries_.size() + 1);
    for (const SharedEntry &entry : entries_) {
        out.push_back({entry.name, entry.value});
    }
    return out;
}

const std::string *ParameterSet::find(std::string_view name) const {
    const auto at = std::lower_bound(entries_.begin(), entries_.end(), name, by_name);
    return at != entries_.end() && at->name == name ? &at->value : nullptr;
}

void ParameterSetRef::forget() { set_->table_->forget(set_); }

ParameterSetTable::~ParameterSetTable() {
    if (!sets_.empty()) {
        abort(); // a reference outlived the worker's table
    }
}

void ParameterSetTable::forget(ParameterSet *set) {
    const auto range = sets_.equal_range(set->hash_);
    for (auto at = range.first; at != range.second; ++at) {
        if (at->second == set) {
            sets_.erase(at);
            break;
        }
    }
    for (const ParameterSet::SharedEntry &entry : set->entries_) {
        release(entry.name);
        release(entry.value);
    }
    delete set;
}

const std::string &ParameterSetTable::keep(std::string &&text) {
    auto &[kept, references] = *texts_.try_emplace(std::move(text), 0).first;
    references++;
    return kept;
}

void ParameterSetTable::release(const std::string &text) {
    const auto at = texts_.find(text);
    if (--at->second == 0) {
        texts_.erase(at);
    }
}

TransactionIsolation isolation_named(std::string_view text) {
    const std::string words(text);
    const auto names = [&words](const char *word) { return strcasestr(words.c_str(), word) != nullptr; };
    if (names("repeatable")) {
        return TransactionIsolation::repeatable_read;
    }
    return names("committed") && !names("serial") ? TransactionIsolation::read_committed
                                                  : TransactionIsolation::serializable;
}

ParameterSetRef ParameterSetTable::intern(ParameterSet::Entries entries) {
    std::stable_sort(entries.begin(), entries.end(), [](const auto &a, const auto &b) { return a.name < b.name; });
    ParameterSet::Entries unique;
    unique.reserve(entries.size());
    for (auto &entry : entries) {
        if (!unique.empty() && unique.back().name == entry.name) {
            unique.back() = std::move(entry);
        } else {
            unique.push_back(std::move(entry));
        }
    }
    const uint64_t hash = hash_of(unique);
    const auto range = sets_.equal_range(hash);
    for (auto at = range.first; at != range.second; ++at) {
        if (equal(at->second->entries_, unique)) {
            return ParameterSetRef(at->second);
        }
    }
    auto *set = new ParameterSet;
    set->entries_.reserve(unique.size());
    for (ParameterSet::Entry &entry : unique) {
        const std::string &name = keep(std::move(entry.name));
        set->entries_.push_back({name, keep(std::move(entry.value))});
        if (std::binary_search(std::begin(kParseSettings), std::end(kParseSettings), name)) {
            set->meaning_.append(name).append(1, '\0').append(set->entries_.back().value).append(1, '\0');
        }
        if (name == "default_transaction_isolation") {
            set->default_isolation_ = isolation_named(set->entries_.back().value);
        }
    }
    set->hash_ = hash;
    set->table_ = this;
    sets_.emplace(hash, set);
    return ParameterSetRef(set);
}

ParameterSetRef ParameterSetTable::with(const ParameterSet &set, std::string_view name, std::string_view value) {
    ParameterSet::Entries entries = set.copy();
    entries.push_back({std::string(name), std::string(value)});
    return intern(std::move(entries));
}

ParameterSetRef ParameterSetTable::without(const ParameterSet &set, std::string_view name) {
    ParameterSet::Entries entries = set.copy();
    std::erase_if(entries, [&](const auto &entry) { return entry.name == name; });
    return intern(std::move(entries));
}

std::string quote_literal(std::string_view text) {
    // E'' means the same whatever standard_conforming_strings is.
    std::string out = text.find('\\') == std::string_view::npos ? "'" : "E'";
    for (const char c : text) {
        if (c == '\'' || c == '\\') {
            out.push_back(c);
        }
        out.push_back(c);
    }
    out.push_back('\'');
    return out;
}

std::string quote_setting_name(std::string_view name) {
    std::string out = "\"";
    for (const char c : name) {
        if (c == '.') {
            out += "\".\"";
        } else {
            if (c == '"') {
                out.push_back(c);
            }
            out.push_back(c);
        }
    }
    out.push_back('"');
    return out;
}

std::string setting_statement(std::string_view name, std::string_view value) {
    return std::string(kSetConfig) + quote_literal(name) + ", " + quote_literal(value) + ", false)";
}

ParameterSet::Entry setting_in_statement(std::string_view statement) {
    size_t at = kSetConfig.size();
    const auto literal = [&] {
        std::string text;
        at = statement.find('\'', at) + 1;
        const bool escapes = statement[at - 2] == 'E';
        for (; at < statement.size(); at++) {
            const char c = statement[at];
            if (c == '\'' || (c == '\\' && escapes)) {
                if (at + 1 == statement.size() || statement[at + 1] != c) {
                    break;
                }
                at++;
            }
            text.push_back(c);
        }
        at++;
        return text;
    };
    ParameterSet::Entry entry;
    entry.name = literal();
    entry.value = literal();
    return entry;
}

std::string settings_difference(const ParameterSet &from, const ParameterSet &to, SettingsPart part) {
    std::string sql;
    const auto add = [&sql](std::string_view statement) {
        if (!sql.empty()) {
            sql += ";\n"; // the line end also ends a trailing comment
        }
        sql += statement;
    };
    const auto in_part = [part](std::string_view name) {
        const bool reading = name == "client_encoding" || name == "standard_conforming_strings";
        return reading == (part == SettingsPart::reading);
    };
    const auto set = [&](const ParameterSet::SharedEntry &entry) {
        const std::string *now = from.find(entry.name);
        if (now == nullptr || *now != entry.value) {
            add(entry.value);
        }
    };
    // A time-out of the session before must not end this, and names in other settings are looked up in search_path.
    static constexpr std::string_view kFirst[] = {"statement_timeout", "search_path"};
    const auto is_first = [](std::string_view name) { return name == kFirst[0] || name == kFirst[1]; };
    for (const bool first : {true, false}) {
        for (const auto &entry : from.entries()) {
            if (in_part(entry.name) && is_first(entry.name) == first && to.find(entry.name) == nullptr) {
                add("RESET " + quote_setting_name(entry.name));
            }
        }
        for (const auto &entry : to.entries()) {
            if (in_part(entry.name) && is_first(entry.name) == first) {
                set(entry);
            }
        }
    }
    return sql;
}

} // namespace pgbalancer
