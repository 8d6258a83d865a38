#include "health/position_question.h"

#include "health/wal_position.h"

#include <algorithm>
#include <charconv>
#include <string_view>
#include <type_traits>

namespace pgbalancer {

// A server that has left recovery does not return to it, so no branch of these CASEs can fail.
const char *const kPreparePositionQuestion =
    "PREPARE pgbalancer_positions AS "
    "SELECT p.in_recovery, p.inserted, p.wal_file, p.replayed, p.received, p.replay_age, p.page, p.segment, "
    "w.pid, w.status, w.received_tli, r.application_name, r.state, r.sync_state "
    "FROM (SELECT pg_catalog.pg_is_in_recovery() AS in_recovery, "
    "CASE WHEN pg_catalog.pg_is_in_recovery() THEN NULL "
    "ELSE pg_catalog.pg_current_wal_insert_lsn() END AS inserted, "
    "CASE WHEN pg_catalog.pg_is_in_recovery() THEN NULL "
    "ELSE pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_insert_lsn()) END AS wal_file, "
    "pg_catalog.pg_last_wal_replay_lsn() AS replayed, "
    "pg_catalog.pg_last_wal_receive_lsn() AS received, "
    "pg_catalog.date_part('epoch', pg_catalog.clock_timestamp() "
    "OPERATOR(pg_catalog.-) pg_catalog.pg_last_xact_replay_timestamp()) AS replay_age, "
    "pg_catalog.current_setting('wal_block_size') AS page, "
    "pg_catalog.pg_size_bytes(pg_catalog.current_setting('wal_segment_size')) AS segment) p "
    "LEFT JOIN pg_catalog.pg_stat_wal_receiver w ON true "
    "LEFT JOIN pg_catalog.pg_stat_replication r ON true";

namespace {

enum Column {
    kInRecovery,
    kInserted,
    kWalFile,
    kReplayed,
    kReceived,
    kReplayAge,
    kPage,
    kSegment,
    kReceiverPid,
    kReceiverStatus,
    kReceivedTimeline,
    kApplicationName,
    kState,
    kSyncState,
    kColumns,
};

class Row {
  public:
    Row(const PGresult &answer, int row) : answer_(answer), row_(row) {}

    std::string_view text(Column column) const {
        return {PQgetvalue(&answer_, row_, column), static_cast<size_t>(PQgetlength(&answer_, row_, column))};
    }
    // NULL is 0 or `otherwise`; what is no number makes the row bad.
    template <class T> T number(Column column, T otherwise = 0, int base = 10) {
        std::string_view value = text(column);
        if (column == kWalFile) {
            value = value.substr(0, 8); // timeline, then the segment's number
        }
        T result = otherwise;
        if (!value.empty()) {
            std::from_chars_result end;
            if constexpr (std::is_floating_point_v<T>) {
                end = std::from_chars(value.data(), value.data() + value.size(), result);
            } else {
                end = std::from_chars(value.data(), value.data() + value.size(), result, base);
            }
            good_ = good_ && end.ec == std::errc{} && end.ptr == value.data() + value.size();
        }
        return result;
    }
    uint64_t lsn(Column column) {
        const std::string_view value = text(column);
        const auto lsn = parse_lsn(value);
        good_ = good_ && (lsn || value.empty());
        return lsn.value_or(0);
    }
    bool good() const { return good_; }

  private:
    const PGresult &answer_;
    int row_;
    bool good_ = true;
};

} // namespace

std::optional<PositionSample> read_position_answer(const PGresult &answer) {
    const int rows = PQntuples(&answer);
    if (rows < 1 || PQnfields(&answer) != kColumns) {
        return std::nullopt;
    }
    Row row(answer, 0);
    const std::string_view in_recovery = row.text(kInRecovery);
    if (in_recovery != "t" && in_recovery != "f") {
        return std::nullopt;
    }
    const WalGeometry wal{.page_bytes = row.number<uint64_t>(kPage), .segment_bytes = row.number<uint64_t>(kSegment)};
    if (wal.page_bytes == 0 || wal.segment_bytes == 0) {
        return std::nullopt;
    }
    PositionSample sample;
    sample.in_recovery = in_recovery == "t";
    if (sample.in_recovery) {
        sample.lsn = row.lsn(kReplayed);
        sample.received_lsn = without_page_header(row.lsn(kReceived), wal);
        const double age_seconds = row.number<double>(kReplayAge, -1);
        // A clock that is behind makes it negative; only NULL means none.
        if (!row.text(kReplayAge).empty() && age_seconds < 1e12) {
            sample.replay_age_us = static_cast<int64_t>(std::max(age_seconds, 0.0) * 1e6);
        }
        // Without the right to see it, the receiver's process id is all there is.
        if (row.text(kReceiverStatus).empty() || row.text(kReceiverStatus) == "streaming") {
            sample.receiver_pid = row.number<int32_t>(kReceiverPid);
            sample.timeline = row.number<uint32_t>(kReceivedTimeline);
        }
    } else {
        sample.lsn = without_page_header(row.lsn(kInserted), wal);
        sample.timeline = row.number<uint32_t>(kWalFile, 0, 16);
        for (int i = 0; i < rows; i++) {
            const Row sender(answer, i);
            if (!sender.text(kApplicationName).empty()) {
                sample.senders.push_back({.application_name = std::string(sender.text(kApplicationName)),
                                          .state = std::string(sender.text(kState)),
                                          .sync_state = std::string(sender.text(kSyncState))});
            }
        }
    }
    return row.good() && sample.lsn != 0 ? std::optional(std::move(sample)) : std::nullopt;
}

} // namespace pgbalancer
