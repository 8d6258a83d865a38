#include "health/server_error.h"

#include <algorithm>

namespace pgbalancer {

namespace {

constexpr size_t kSqlstateSize = 5;

bool is_sqlstate(std::string_view text) {
    return std::ranges::all_of(text, [](char c) { return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z'); });
}

} // namespace

std::string_view find_sqlstate(std::string_view libpq_message) {
    constexpr std::string_view kAfterSeverity = ":  ";
    constexpr std::string_view kAfterSqlstate = ": ";
    for (size_t at = 0; (at = libpq_message.find(kAfterSeverity, at)) != std::string_view::npos;) {
        at += kAfterSeverity.size();
        const std::string_view candidate = libpq_message.substr(at, kSqlstateSize);
        if (candidate.size() == kSqlstateSize && is_sqlstate(candidate) &&
            libpq_message.substr(at + kSqlstateSize).starts_with(kAfterSqlstate)) {
            return candidate;
        }
    }
    return {};
}

ProbeOutcome classify_refusal(std::string_view sqlstate) {
    if (sqlstate.empty()) {
        return ProbeOutcome::failed;
    }
    // cannot_connect_now; admin_shutdown and crash_shutdown are the same moment seen by who had just got in.
    if (sqlstate == "57P03" || sqlstate == "57P01" || sqlstate == "57P02") {
        return ProbeOutcome::starting;
    }
    return ProbeOutcome::alive;
}

std::string tidy_message(std::string_view libpq_message) {
    std::string result;
    while (!libpq_message.empty()) {
        const size_t end = std::min(libpq_message.find('\n'), libpq_message.size());
        std::string_view line = libpq_message.substr(0, end);
        libpq_message.remove_prefix(std::min(end + 1, libpq_message.size()));
        line.remove_prefix(std::min(line.find_first_not_of(" \t"), line.size()));
        if (!line.empty() && !line.starts_with("LOCATION:  ")) {
            result += (result.empty() ? "" : "; ") + std::string(line);
        }
    }
    return result;
}

} // namespace pgbalancer
