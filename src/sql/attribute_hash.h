// attribute_hash.h: a short stand-in for a column's or field's name (FNV-1a). Names that are not all ASCII share one:
// their bytes depend on the client's encoding. A collision makes a harmless statement count as opaque, nothing worse.
// Pure.
#pragma once

#include <cstdint>
#include <string_view>

namespace pgbalancer {

constexpr uint32_t attribute_hash(std::string_view name) {
    uint32_t hash = 2166136261U;
    for (const char c : name) {
        if (static_cast<unsigned char>(c) >= 0x80) {
            return 0;
        }
        hash = (hash ^ static_cast<unsigned char>(c)) * 16777619U;
    }
    return hash;
}

} // namespace pgbalancer
