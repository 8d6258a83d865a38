// routing_hint.h: the hint in a comment before a text's first token. Pure.
#pragma once

#include "sql/classification.h"

#include <cstdint>
#include <string_view>

namespace pgbalancer {

struct HintValue {
    RoutingHint hint = RoutingHint::none;
    uint16_t node = 0; // with RoutingHint::node
};

// The first hint among the comments that precede the first token; anything else in comments is ignored. Known are
//   /*NO LOAD BALANCE*/           (pgpool's) the primary
//   /*+ pgbalancer: primary */    or standby, or node=N with N up to 65535
// Case and white space around the words do not matter.
[[nodiscard]] HintValue routing_hint(std::string_view sql);

} // namespace pgbalancer
