// tree_walk.h: collects from a parse tree what does not depend on which statement it is in: the names of functions,
// operators, types and relations at any depth, and the effects that the builtin ones among them have.
//
// Walks generically, by protobuf's descriptors, so that nothing new or rare in the grammar is overlooked. Constants are
// never looked into. Recursion is bounded by the caller's bound on nesting. Pure.
#pragma once

#include "sql/classification.h"

#include <pg_query/pg_query.pb-c.h>

namespace pgbalancer {

// Adds to the effects, names and writes_relations of `what`. The name lists stay unsorted, with repetitions.
void collect_names(const ProtobufCMessage &tree, Classification &what);

} // namespace pgbalancer
