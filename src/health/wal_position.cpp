#include "health/wal_position.h"

#include <charconv>

namespace pgbalancer {

namespace {

// On 64-bit servers; a few bytes less elsewhere, which does no harm: no record ends within a header.
constexpr uint64_t kShortHeaderBytes = 24;
constexpr uint64_t kLongHeaderBytes = 40;

std::optional<uint32_t> parse_hex(std::string_view text) {
    uint32_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, 16);
    return error == std::errc{} && end == text.data() + text.size() ? std::optional(value) : std::nullopt;
}

} // namespace

std::optional<uint64_t> parse_lsn(std::string_view text) {
    const size_t slash = text.find('/');
    if (slash == std::string_view::npos) {
        return std::nullopt;
    }
    const auto high = parse_hex(text.substr(0, slash));
    const auto low = parse_hex(text.substr(slash + 1));
    if (!high || !low) {
        return std::nullopt;
    }
    return uint64_t{*high} << 32 | *low;
}

uint64_t without_page_header(uint64_t lsn, const WalGeometry &wal) {
    const uint64_t in_page = lsn % wal.page_bytes;
    const uint64_t header = lsn % wal.segment_bytes < wal.page_bytes ? kLongHeaderBytes : kShortHeaderBytes;
    return in_page <= header ? lsn - in_page : lsn;
}

} // namespace pgbalancer
