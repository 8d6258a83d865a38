// setting.h: what both readers turn a configuration text into, before anything is known about the parameters.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace pgbalancer {

// How the value was written. YAML's sequences and mappings arrive as the text list_text.h defines. Unreadable: the
// reader has reported it, and only that the name was set is known.
enum class ValueShape : uint8_t { single, list, named_words, unreadable };

// One `name = value` as written: neither name nor value has been looked at.
struct Setting {
    std::string name;
    std::string value;
    int line; // from 1
    ValueShape shape = ValueShape::single;
    // The value with its backslashes left alone, where they were taken as escapes: for regular expressions.
    std::optional<std::string> verbatim = std::nullopt;
};

struct Settings {
    std::vector<Setting> list;
    bool complete = true; // false: reading stopped at an error, more may have followed
};

// More than this is no configuration: the readers' work and memory stay bounded whatever the file.
inline constexpr size_t kMaxConfigBytes = 256 * 1024;

} // namespace pgbalancer
