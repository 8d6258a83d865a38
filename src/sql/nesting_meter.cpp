#include "sql/nesting_meter.h"

#include <algorithm>

namespace pgbalancer {

namespace {

enum class WordRole { none, operation, separator, join, set_operation, select, case_opens, case_ends };

struct WordEntry {
    std::string_view word;
    WordRole role;
};

// Reserved words only (but for the operators, where counting one too many does no harm): no expression can contain a
// separator other than as part of a dotted name.
constexpr WordEntry kWords[] = {
    {"and", WordRole::separator},   {"at", WordRole::operation},        {"between", WordRole::operation},
    {"case", WordRole::case_opens}, {"collate", WordRole::operation},   {"else", WordRole::separator},
    {"end", WordRole::case_ends},   {"escape", WordRole::operation},    {"except", WordRole::set_operation},
    {"ilike", WordRole::operation}, {"in", WordRole::operation},        {"intersect", WordRole::set_operation},
    {"is", WordRole::operation},    {"isnull", WordRole::operation},    {"join", WordRole::join},
    {"like", WordRole::operation},  {"not", WordRole::operation},       {"notnull", WordRole::operation},
    {"on", WordRole::separator},    {"or", WordRole::separator},        {"overlaps", WordRole::operation},
    {"select", WordRole::select},   {"similar", WordRole::operation},   {"tablesample", WordRole::operation},
    {"then", WordRole::separator},  {"union", WordRole::set_operation}, {"when", WordRole::separator},
    {"where", WordRole::separator},
};
constexpr size_t kLongest = 11;
static_assert(std::ranges::is_sorted(kWords, {}, &WordEntry::word));
static_assert(std::ranges::all_of(kWords, [](const WordEntry &entry) { return entry.word.size() <= kLongest; }));

WordRole role_of(std::string_view word) {
    if (word.size() > kLongest) {
        return WordRole::none;
    }
    char folded[kLongest];
    std::ranges::transform(word, folded, [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c; });
    const std::string_view key(folded, word.size());
    const auto at = std::ranges::lower_bound(kWords, key, {}, &WordEntry::word);
    return at != std::end(kWords) && at->word == key ? at->role : WordRole::none;
}

} // namespace

void NestingMeter::add(size_t Level::*counter) {
    ++(top().*counter);
    bound_ = std::max(bound_, outer_ + top().operators + top().joins + top().set_operations);
}

void NestingMeter::open(bool is_case) {
    const Level &level = top();
    outer_ += level.operators + level.joins + level.set_operations + kLevelCost;
    bound_ = std::max(bound_, outer_);
    levels_.push_back({.is_case = is_case});
}

void NestingMeter::close(bool is_case) {
    // An END that ends no CASE, or a parenthesis too many: the parser's business.
    if (levels_.size() == 1 || top().is_case != is_case) {
        return;
    }
    levels_.pop_back();
    const Level &level = top();
    outer_ -= level.operators + level.joins + level.set_operations + kLevelCost;
}

void NestingMeter::word(std::string_view word) {
    if (after_point_) {
        after_point_ = false;
        return;
    }
    switch (role_of(word)) {
    case WordRole::none: break;
    case WordRole::operation: add(&Level::operators); break;
    case WordRole::separator: top().operators = 0; break;
    case WordRole::join: add(&Level::joins); break;
    case WordRole::set_operation: add(&Level::set_operations); break;
    case WordRole::select: top().operators = top().joins = 0; break;
    case WordRole::case_opens: open(true); break;
    case WordRole::case_ends: close(true); break;
    }
}

void NestingMeter::operation(std::string_view operation) {
    after_point_ = operation == ".";
    if (operation.size() == 1) {
        switch (operation[0]) {
        case '.':
        case ':': return;
        case '(':
        case '[': open(false); return;
        case ')':
        case ']': close(false); return;
        case ',': top().operators = top().joins = 0; return;
        case ';':
            if (levels_.size() == 1) {
                top() = {};
            }
            return;
        default: break;
        }
    }
    add(&Level::operators);
}

} // namespace pgbalancer
