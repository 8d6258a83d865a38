// probe.h: what state a session has left on a server connection, asked of the server itself.
//
// Some of it cannot be seen from outside (a function may LISTEN, create a temporary table, take an advisory lock, call
// set_config), so after a transaction with an opaque statement one query asks. Pure: text of the query and
// reading of its rows (kind, name, value). Names are schema-qualified, because the search_path is the client's.
#pragma once

#include "child/parameter_set.h"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace pgbalancer {

// Why a session keeps its server connection. Several may hold; the lowest bit is the one shown.
enum PinReason : uint16_t {
    kNotPinned = 0,
    kPinnedByMode = 1U << 0,
    kPinnedByReplication = 1U << 1,
    kPinnedByListen = 1U << 2,
    kPinnedByTempObject = 1U << 3,
    kPinnedByHoldCursor = 1U << 4,
    kPinnedByAdvisoryLock = 1U << 5,
    kPinnedByPrepare = 1U << 6,
    kPinnedByLoad = 1U << 7,
    kPinnedBySequence = 1U << 8,
    kPinnedBySetting = 1U << 9,
    kPinnedByUnknown = 1U << 10,
};
// What a probe can find and can find gone.
constexpr uint16_t kProbedReasons = kPinnedByListen | kPinnedByTempObject | kPinnedByHoldCursor |
                                    kPinnedByAdvisoryLock | kPinnedByPrepare | kPinnedBySetting;

// As shown in pinned_reason; empty for kNotPinned.
std::string_view pin_reason_text(uint16_t reasons);

struct ProbeResult {
    uint16_t reasons = kNotPinned;
    bool temp_schema = false;       // there is one, perhaps empty
    ParameterSet::Entries settings; // name → statement (setting_statement)
};

// `custom_settings`: names with a dot, which pg_settings does not list.
std::string probe_query(const std::vector<std::string> &custom_settings);
// Takes one DataRow body. False: not a row of that query.
bool read_probe_row(std::string_view data_row, ProbeResult &result);

} // namespace pgbalancer
