// wal_position.h: positions in the write-ahead log, as numbers that may be compared. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace pgbalancer {

// pg_lsn's text: "16/B374D848".
std::optional<uint64_t> parse_lsn(std::string_view text);

struct WalGeometry {
    uint64_t page_bytes = 8192;                // wal_block_size
    uint64_t segment_bytes = 16 * 1024 * 1024; // wal_segment_size
    bool operator==(const WalGeometry &) const = default;
};

// The end of the WAL before `lsn`. The insert position steps over the header of a page that is still empty (access/
// xlog_internal.h: XLogPageHeaderData, or XLogLongPageHeaderData at the start of a segment), after a log switch for
// as long as nobody writes; what is replayed ends before that header.
uint64_t without_page_header(uint64_t lsn, const WalGeometry &wal);

} // namespace pgbalancer
