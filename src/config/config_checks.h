// config_checks.h: what no single parameter can be wrong about: whether they fit together.
//
// Run when every setting has been read.
#pragma once

#include "config/problem_list.h"

#include <functional>
#include <map>
#include <string>

namespace pgbalancer {

// Where a parameter was last set, by its full name. What is not in it has its default.
struct SettingPlace {
    int line;
    bool accepted; // false: its value was refused, so that the Config holds something else
};
using SettingPlaces = std::map<std::string, SettingPlace, std::less<>>;

// Pure. `complete` is false when a part of the text could not be read: then nothing is said to be missing.
void check_consistency(const Config &config, const SettingPlaces &places, bool complete, ProblemList &problems);

// Whether the files the configuration names can be read, and the configuration itself is not readable by everyone if
// it holds a password. Opens them; does not wait.
void check_files(const Config &config, const SettingPlaces &places, ProblemList &problems);

} // namespace pgbalancer
