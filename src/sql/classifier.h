// classifier.h: text -> Classification. Pure: no catalog, no connection, no state. Any process.
//
// Works on the text's canonical form, so that two texts with one fingerprint have one Classification. What cannot be
// understood (doubtful tokens, newer syntax than PostgreSQL 15's, too long or too deeply nested to be parsed) is of
// kind `unknown` and counts as able to do anything that a probe could find. Costs a parse: 10 to 100 µs, some
// milliseconds for the longest texts parsed. See statement_cache.h for the way not to pay that.
#pragma once

#include "sql/classification.h"
#include "sql/fingerprint.h"

#include <string_view>

namespace pgbalancer {

// What `unknown` carries.
constexpr uint32_t kUnknownEffects = kOpaque | kDdl | kSetsSetting | kMayUnpin | kTransactionControl | kResetsInside;

[[nodiscard]] Classification classify_text(std::string_view sql, LexRules rules);

} // namespace pgbalancer
