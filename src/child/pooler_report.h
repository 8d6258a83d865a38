// pooler_report.h: what the SHOW POOL_… commands tell, one function each, in the order of their columns.
//
// Read from shared memory, this worker's configuration and the session that asks; nothing is kept.
#pragma once

#include "shm/layout.h"

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace pgbalancer {

class Session;
class Worker;

using PoolerRow = std::vector<std::optional<std::string>>; // nothing is NULL
using PoolerRows = std::vector<PoolerRow>;

struct PoolerReport {
    std::span<const std::string_view> columns;
    // `text`: the command, of EXPLAIN ROUTE the statement.
    PoolerRows (*rows)(Session &session, std::string_view text);
};

extern const PoolerReport kNodesReport;
extern const PoolerReport kHealthCheckReport;
extern const PoolerReport kProcessesReport;
extern const PoolerReport kPoolsReport;
extern const PoolerReport kStatusReport;
extern const PoolerReport kVersionReport;
extern const PoolerReport kRoutesReport;
extern const PoolerReport kBackendStatsReport;
extern const PoolerReport kExplainRouteReport;

std::string status_text(NodeStatus status);
std::string role_text(NodeRole role);

// Wall clock; empty for 0.
std::string time_text(int64_t us);

} // namespace pgbalancer
