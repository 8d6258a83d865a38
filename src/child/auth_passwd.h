// auth_passwd.h: pool_passwd, the users who may log in and their secrets.
//
// One `user:secret` per line (see auth_secret.h), the user ends at the first colon; empty lines and lines that begin
// with '#' are skipped. An immutable value: a reload makes a new one and keeps the old if there are errors, so that a
// slip locks nobody out. Worker process; load() blocks on the disk, find() does not.
#pragma once

#include "child/auth_file.h"
#include "child/auth_secret.h"

#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

namespace pgbalancer {

class PasswordFile {
  public:
    // Empty: nobody has an entry.
    PasswordFile() = default;

    // Nothing if there is any error; all of them are in `problems`. A file others than its owner may read is a
    // warning.
    static std::optional<PasswordFile> load(const std::string &path, FileProblems &problems);
    // `name` stands for the path in the messages.
    static std::optional<PasswordFile> parse(std::string_view text, std::string_view name, FileProblems &problems);

    // Null: no entry. Valid as long as this object: whoever outlives a reload copies.
    const Secret *find(std::string_view user) const;

    size_t size() const { return users_.size(); }
    auto begin() const { return users_.begin(); }
    auto end() const { return users_.end(); }

  private:
    struct Hash {
        using is_transparent = void;
        size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
    };
    std::unordered_map<std::string, Secret, Hash, std::equal_to<>> users_;
};

} // namespace pgbalancer
