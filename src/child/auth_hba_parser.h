// auth_hba_parser.h: one line of pool_hba, from its fields to a rule. Pure; any process.
#pragma once

#include "child/auth_hba.h"
#include "child/auth_hba_lexer.h"
#include "common/result.h"

#include <vector>

namespace pgbalancer {

// `fields`: at least one. `interfaces`: this host's addresses with their masks, for samehost and samenet. The error
// says what is wrong first, seen from the left.
Result<HbaRule> parse_hba_rule(std::vector<HbaField> fields, const std::vector<AddressRange> &interfaces);

} // namespace pgbalancer
