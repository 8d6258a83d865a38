#include "child/route_reason.h"

#include <iterator>

namespace pgbalancer {

namespace {

constexpr std::string_view kTexts[] = {
    "balanced",
    "hint",
    "preference list",
    "lower lag",
    "write",
    "session state",
    "transaction control",
    "unreadable",
    "locks",
    "volatile function",
    "node-bound",
    "node-bound setting",
    "query pattern",
    "function list",
    "catalog unknown",
    "refused by a standby",
    "batch",
    "pinned",
    "session mode",
    "in transaction",
    "isolation level",
    "now() in transaction",
    "wrote before",
    "no standby",
    "load balancing off",
    "read your writes",
    "delayed",
    "none eligible",
    "retried",
};
static_assert(std::size(kTexts) == kRouteReasons);

} // namespace

std::string_view route_reason_text(RouteReason reason) { return kTexts[static_cast<size_t>(reason)]; }

} // namespace pgbalancer
