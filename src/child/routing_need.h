// routing_need.h: what a statement asks of a node, from its Classification, the catalog's facts and the lists in the
// configuration.
//
// RoutingRules is made from a Config (again at each reload) and owned by the worker. need_of() is what the data path
// calls: it costs a look into the CachedStatement unless primary_routing_query_pattern_list is set, which is matched
// with the text itself. Pure otherwise; nothing blocks.
#pragma once

#include "child/router.h"
#include "config/config.h"
#include "sql/statement_cache.h"

#include <memory>
#include <string_view>

namespace pgbalancer {

class CatalogFacts;

// Without any list: what the text and the facts say. `effects` is CachedStatement::effects().
[[nodiscard]] RoutingNeed routing_need(const Classification &what, uint32_t effects, bool facts_loaded);
// The transaction that a BEGIN announces to a session with that default.
[[nodiscard]] Announced announced_by(const Classification &begin, DefaultIsolation isolation);
// Of a function-call message and of messages too large to be looked at: the primary.
[[nodiscard]] RoutingNeed unreadable_need();

class RoutingRules {
  public:
    // `number`: another one for each that a worker makes, so that statements know whose needs they remember.
    RoutingRules(const Config &config, uint32_t number);
    ~RoutingRules();
    RoutingRules(RoutingRules &&) noexcept;
    RoutingRules &operator=(RoutingRules &&) noexcept;

    // `text`: the Query's or Parse's, without its terminating NUL.
    [[nodiscard]] RoutingNeed need_of(CachedStatement &statement, const CatalogFacts &facts,
                                      std::string_view text) const;
    // A standby refused the statement: from now on it is the primary's, until the facts are read again.
    void refuse_standbys(CachedStatement &statement, const CatalogFacts &facts) const;

    const LoadBalancing &how() const { return how_; }

  private:
    struct Lists;

    LoadBalancing how_;
    std::unique_ptr<Lists> lists_;
    uint32_t number_;
};

} // namespace pgbalancer
