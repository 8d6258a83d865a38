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
// Of a function-call message and of messages too large to be looked at: the primary.
[[nodiscard]] RoutingNeed unreadable_need();

class RoutingRules {
  public:
    explicit RoutingRules(const Config &config);
    ~RoutingRules();
    RoutingRules(RoutingRules &&) noexcept;
    RoutingRules &operator=(RoutingRules &&) noexcept;

    // `text`: the Query's or Parse's, without its terminating NUL.
    [[nodiscard]] RoutingNeed need_of(CachedStatement &statement, const CatalogFacts &facts,
                                      std::string_view text) const;
    // A standby refused the statement: from now on it is the primary's, until the facts are read again.
    static void refuse_standbys(CachedStatement &statement, const CatalogFacts &facts);

    const LoadBalancing &how() const;

  private:
    struct Lists;
    std::unique_ptr<Lists> lists_;
};

} // namespace pgbalancer
