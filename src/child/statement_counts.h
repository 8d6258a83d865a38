// statement_counts.h: statements per node as pgpool counts them. Pure but for the counters given.
#pragma once

#include "shm/layout.h"
#include "sql/classification.h"

namespace pgbalancer {

inline void count_statement(NodeCountersShm &counters, const Classification &what) {
    switch (what.kind) {
    case StatementKind::read: bump(counters.selects); break;
    case StatementKind::ddl: bump(counters.ddl); break;
    default: bump(what.only_queries ? counters.selects : counters.others); break;
    }
}

} // namespace pgbalancer
