// edit_distance.h: how many slips of the pen lie between two names. Pure.
#pragma once

#include <cstddef>
#include <string_view>

namespace pgbalancer {

// Insertions, deletions, replacements and swaps of neighbours (each counts 1) that turn `a` into `b`, without regard
// to case (optimal string alignment). Takes |a| x |b| steps: bound what comes from outside.
size_t edit_distance(std::string_view a, std::string_view b);

} // namespace pgbalancer
