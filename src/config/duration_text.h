// duration_text.h: durations as configuration text. Pure.
#pragma once

#include "config/parameter.h"

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

namespace pgbalancer {

// A number, possibly with a fraction, and a unit of ms, s, min, h or d; `bare_unit` without one. Rounded to
// milliseconds. Nothing if it is not of this form or beyond a century.
std::optional<std::chrono::milliseconds> parse_duration(std::string_view text, DurationUnit bare_unit);

// The shortest form in whole units: "0", "200ms", "90s", "2min".
std::string duration_text(std::chrono::milliseconds duration);

} // namespace pgbalancer
