#include "config/duration_text.h"

#include "config/words.h"

#include <charconv>
#include <cmath>
#include <cstdint>

namespace pgbalancer {

namespace {

struct Unit {
    std::string_view name;
    int64_t milliseconds;
};

constexpr Unit kUnits[] = {{"d", 86'400'000}, {"h", 3'600'000}, {"min", 60'000}, {"s", 1000}, {"ms", 1}};

std::optional<int64_t> unit_milliseconds(std::string_view name, DurationUnit bare_unit) {
    if (name.empty()) {
        return bare_unit == DurationUnit::seconds ? 1000 : 1;
    }
    for (const Unit &unit : kUnits) {
        if (unit.name == name) { // as in PostgreSQL, units are lower case
            return unit.milliseconds;
        }
    }
    return std::nullopt;
}

} // namespace

std::optional<std::chrono::milliseconds> parse_duration(std::string_view text, DurationUnit bare_unit) {
    constexpr double kCenturyMs = 100.0 * 366 * 86'400'000;
    double number = 0;
    const char *end_of_text = text.data() + text.size();
    const auto [end, error] = std::from_chars(text.data(), end_of_text, number, std::chars_format::fixed);
    if (error != std::errc{}) {
        return std::nullopt;
    }
    const auto unit = unit_milliseconds(trimmed({end, end_of_text}), bare_unit);
    if (!unit) {
        return std::nullopt;
    }
    const double milliseconds = std::round(number * static_cast<double>(*unit));
    if (!(std::abs(milliseconds) <= kCenturyMs)) { // also false for "nan" and "inf", which from_chars reads
        return std::nullopt;
    }
    return std::chrono::milliseconds(static_cast<int64_t>(milliseconds));
}

std::string duration_text(std::chrono::milliseconds duration) {
    if (duration.count() == 0) {
        return "0";
    }
    for (const Unit &unit : kUnits) {
        if (duration.count() % unit.milliseconds == 0) {
            return std::to_string(duration.count() / unit.milliseconds) + std::string(unit.name);
        }
    }
    return {}; // not reached: every count is a multiple of 1 ms
}

} // namespace pgbalancer
