// statement_counts.h: statements per node as pgpool counts them. Pure but for the counters given.
#pragma once

#include "shm/layout.h"
#include "sql/classification.h"

namespace pgbalancer {

inline void count_statement(NodeCountersShm &counters, const Classification &what) {
    switch (what.verb) {
    case StatementVerb::select: bump(counters.selects); break;
    case StatementVerb::insert: bump(counters.inserts); break;
    case StatementVerb::update: bump(counters.updates); break;
    case StatementVerb::delete_: bump(counters.deletes); break;
    case StatementVerb::ddl: bump(counters.ddl); break;
    case StatementVerb::other: bump(counters.others); break;
    }
}

} // namespace pgbalancer
