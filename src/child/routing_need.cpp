#include "child/routing_need.h"

#include "common/pattern.h"
#include "sql/catalog_facts.h"

#include <algorithm>
#include <iterator>
#include <utility>
#include <vector>

namespace pgbalancer {

namespace {

// A query with these effects is still a read; only where it may run depends on them.
constexpr uint32_t kReadEffects = kNow | kNodeBound;
// A hint overrides these: whoever wrote it knows the function or wants to see that node.
constexpr uint32_t kHintableEffects = kReadEffects | kVolatile | kOpaque;

// SHOW of these gives the same answer everywhere: they follow the session, the catalog or the program. Others may be
// set differently in each node's postgresql.conf, or say what the node is. Sorted.
constexpr std::string_view kSameEverywhere[] = {
    "application_name",
    "block_size",
    "bytea_output",
    "client_encoding",
    "datestyle",
    "extra_float_digits",
    "integer_datetimes",
    "intervalstyle",
    "lc_collate",
    "lc_ctype",
    "max_function_args",
    "max_identifier_length",
    "max_index_keys",
    "search_path",
    "segment_size",
    "server_encoding",
    "server_version",
    "server_version_num",
    "standard_conforming_strings",
    "timezone",
    "wal_block_size",
};
static_assert(std::ranges::is_sorted(kSameEverywhere));

// Why a query with these effects is the primary's.
RouteReason why_not(uint32_t effects, bool facts_loaded, uint32_t effects_of_text) {
    if ((effects & kLocks) != 0) {
        return RouteReason::locks;
    }
    if ((effects & (kPinTempObject | kNodeBound)) != 0 && (effects & (kVolatile | kOpaque)) == 0) {
        return RouteReason::node_bound;
    }
    if ((effects & (kSetsSetting | kResets | kPinSetting | kNamesPrepared)) != 0) {
        return RouteReason::session;
    }
    const uint32_t of_calls = kVolatile | kOpaque;
    if (!facts_loaded && (effects_of_text & of_calls) == 0) {
        return RouteReason::facts_unknown;
    }
    return RouteReason::volatile_call;
}

// Of statements that are no queries.
RouteReason reason_of(StatementKind kind) {
    switch (kind) {
    case StatementKind::unknown: return RouteReason::unreadable;
    case StatementKind::begin:
    case StatementKind::commit:
    case StatementKind::rollback:
    case StatementKind::savepoint:
    case StatementKind::prepare_transaction:
    case StatementKind::commit_prepared: return RouteReason::transaction;
    case StatementKind::set:
    case StatementKind::set_local:
    case StatementKind::reset:
    case StatementKind::discard:
    case StatementKind::prepare:
    case StatementKind::execute:
    case StatementKind::deallocate:
    case StatementKind::declare_cursor:
    case StatementKind::fetch_or_close:
    case StatementKind::listen:
    case StatementKind::unlisten:
    case StatementKind::notify: return RouteReason::session;
    case StatementKind::lock: return RouteReason::locks;
    default: return RouteReason::write;
    }
}

// Whether a statement that is no query can have changed what others read.
bool may_change(const Classification &what, uint32_t effects) {
    switch (what.kind) {
    case StatementKind::begin:
    case StatementKind::commit:
    case StatementKind::rollback:
    case StatementKind::savepoint:
    case StatementKind::set:
    case StatementKind::set_local:
    case StatementKind::reset:
    case StatementKind::discard:
    case StatementKind::prepare:
    case StatementKind::deallocate:
    case StatementKind::fetch_or_close:
    case StatementKind::listen:
    case StatementKind::unlisten:
    case StatementKind::notify:
    case StatementKind::lock:
    case StatementKind::show: return false;
    case StatementKind::declare_cursor: return (effects & (kOpaque | kVolatile | kLocks)) != 0;
    default: return true;
    }
}

// 32 bits that are never 0.
uint32_t packed(const RoutingNeed &need) {
    return 1U << 31 | uint32_t{need.standby} << 30 | uint32_t{need.changes} << 29 | uint32_t{need.shows_now} << 28 |
           uint32_t{need.hintable} << 27 | static_cast<uint32_t>(need.hint) << 24 |
           static_cast<uint32_t>(need.why) << 16 | need.hint_node;
}
RoutingNeed unpacked(uint32_t bits) {
    return {.standby = (bits >> 30 & 1) != 0,
            .why = static_cast<RouteReason>(bits >> 16 & 0xff),
            .changes = (bits >> 29 & 1) != 0,
            .shows_now = (bits >> 28 & 1) != 0,
            .hintable = (bits >> 27 & 1) != 0,
            .hint = static_cast<RoutingHint>(bits >> 24 & 7),
            .hint_node = static_cast<uint16_t>(bits)};
}

using Patterns = std::vector<Pattern>;

Patterns compiled(const std::vector<std::string> &expressions, Pattern::Case how) {
    Patterns patterns;
    for (const std::string &expression : expressions) {
        if (auto pattern = Pattern::compile(expression, how)) { // src/config has refused what is none
            patterns.push_back(std::move(*pattern));
        }
    }
    return patterns;
}

bool any_matches(const Patterns &patterns, std::string_view text) {
    return std::ranges::any_of(patterns, [text](const Pattern &pattern) { return pattern.matches(text); });
}

std::string_view without_schema(std::string_view name) { return name.substr(name.rfind('.') + 1); }

// The text without space around it and semicolons behind: pgpool's patterns are written with the one that psql sends.
std::string_view bare(std::string_view text) {
    constexpr std::string_view kSpace = " \t\r\n\f\v";
    const size_t first = text.find_first_not_of(kSpace);
    const size_t last = text.find_last_not_of(" \t\r\n\f\v;");
    return first == std::string_view::npos || last == std::string_view::npos || last < first
               ? std::string_view()
               : text.substr(first, last + 1 - first);
}

} // namespace

RoutingNeed routing_need(const Classification &what, uint32_t effects, bool facts_loaded) {
    RoutingNeed need{.hint = what.hint, .hint_node = what.hint_node};
    need.shows_now = (effects & kNow) != 0;
    if (what.kind == StatementKind::show) {
        need.standby = std::ranges::binary_search(kSameEverywhere, what.name);
        need.why = need.standby ? RouteReason::balanced : RouteReason::not_shown;
        return need;
    }
    if (what.only_queries) {
        need.standby = (effects & ~uint32_t{kNow}) == 0;
        need.why = need.standby ? RouteReason::balanced : why_not(effects, facts_loaded, what.effects);
        need.changes = (effects & ~kReadEffects) != 0;
        need.hintable = (effects & ~kHintableEffects) == 0;
        return need;
    }
    need.standby = false;
    need.hintable = false;
    need.why = what.kind == StatementKind::multiple && (what.effects & kTransactionControl) != 0
                   ? RouteReason::transaction
                   : reason_of(what.kind);
    need.changes = may_change(what, effects);
    return need;
}

RoutingNeed unreadable_need() {
    return {.standby = false, .why = RouteReason::unreadable, .changes = true, .hintable = false};
}

Announced announced_by(const Classification &begin, DefaultIsolation isolation) {
    if (begin.access == TransactionAccess::read_write) {
        return Announced::isolated;
    }
    switch (begin.isolation) {
    case TransactionIsolation::repeatable_read:
    case TransactionIsolation::serializable: return Announced::isolated;
    case TransactionIsolation::unspecified:
        return isolation == DefaultIsolation::read_committed ? Announced::plain : Announced::isolated;
    default: return Announced::plain;
    }
}

struct RoutingRules::Lists {
    Patterns read_only_functions;
    Patterns write_functions;
    Patterns queries;

    bool any_functions() const { return !read_only_functions.empty() || !write_functions.empty(); }

    // Functions that write, as the administrator says, are in neither list.
    RoutingNeed judge(const Classification &what, uint32_t effects, const CatalogFacts &facts) const;
};

RoutingNeed RoutingRules::Lists::judge(const Classification &what, uint32_t effects, const CatalogFacts &facts) const {
    const auto writes = [this](const std::string &name) {
        return any_matches(write_functions, name) || any_matches(write_functions, without_schema(name));
    };
    RoutingNeed listed = routing_need(what, effects, facts.loaded());
    listed.standby = false;
    listed.why = RouteReason::function_list;
    listed.changes = true;
    listed.hintable = false;
    if (!write_functions.empty() &&
        (std::ranges::any_of(what.functions, writes) || std::ranges::any_of(what.builtins, writes))) {
        return listed;
    }
    if (read_only_functions.empty() || what.functions.empty()) {
        return routing_need(what, effects, facts.loaded());
    }
    // What the list vouches for needs no facts; a user's function that it does not name counts as one that writes.
    if (!std::ranges::all_of(what.functions,
                             [this](const std::string &name) { return any_matches(read_only_functions, name); })) {
        return listed;
    }
    Classification others = what;
    others.functions.clear();
    return routing_need(others, what.effects | facts.effects_of(others), facts.loaded());
}

RoutingRules::RoutingRules(const Config &config, uint32_t number)
    : how_(LoadBalancing::of(config)), lists_(std::make_unique<Lists>()), number_(number) {
    lists_->read_only_functions = compiled(config.read_only_function_list, Pattern::Case::matters);
    lists_->write_functions = compiled(config.write_function_list, Pattern::Case::matters);
    lists_->queries = compiled(config.primary_routing_query_pattern_list, Pattern::Case::ignored);
}

RoutingRules::~RoutingRules() = default;
RoutingRules::RoutingRules(RoutingRules &&) noexcept = default;
RoutingRules &RoutingRules::operator=(RoutingRules &&) noexcept = default;

RoutingNeed RoutingRules::need_of(CachedStatement &statement, const CatalogFacts &facts, std::string_view text) const {
    const uint32_t verdict = statement.verdict(facts, number_);
    RoutingNeed need;
    if (verdict != 0) {
        need = unpacked(verdict);
    } else {
        const uint32_t effects = statement.effects(facts);
        need = lists_->any_functions() && statement.what().only_queries
                   ? lists_->judge(statement.what(), effects, facts)
                   : routing_need(statement.what(), effects, facts.loaded());
        statement.keep_verdict(facts, number_, packed(need));
    }
    if (need.standby && !lists_->queries.empty()) {
        const std::string_view query = bare(text);
        if (any_matches(lists_->queries, query) || any_matches(lists_->queries, std::string(query) + ";")) {
            need.standby = false;
            need.why = RouteReason::pattern;
            need.hintable = false;
        }
    }
    return need;
}

void RoutingRules::refuse_standbys(CachedStatement &statement, const CatalogFacts &facts) const {
    RoutingNeed need = need_of(statement, facts, {});
    need.standby = false;
    need.why = RouteReason::refused;
    need.hintable = false;
    need.changes = true;
    statement.keep_verdict(facts, number_, packed(need));
}

} // namespace pgbalancer
