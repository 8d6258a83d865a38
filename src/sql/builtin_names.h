// builtin_names.h: what is known without a catalog about the names in pg_catalog.
//
// Generated from PostgreSQL 15 (make_builtin_names.sh), with what other versions have beside it. A name that is missing
// here counts as unknown, which is the cautious answer. Constant data, pure functions.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace pgbalancer {

// The effects of calling the builtin function of this name, whichever overload: kNoEffect for immutable and stable
// ones. No value: no builtin. Names are case-sensitive, as the parser has folded them.
[[nodiscard]] std::optional<uint32_t> builtin_function_effects(std::string_view name);
[[nodiscard]] bool is_builtin_operator(std::string_view name);
// Also the pseudo-types that only CREATE TABLE knows (serial …).
[[nodiscard]] bool is_builtin_type(std::string_view name);
// The effects of reading pg_catalog's relation of this name: kNodeBound for what shows one node or one server process.
[[nodiscard]] uint32_t builtin_relation_effects(std::string_view name);

} // namespace pgbalancer
