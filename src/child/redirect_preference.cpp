#include "child/redirect_preference.h"

#include <algorithm>
#include <utility>

namespace pgbalancer {

namespace {

RedirectTarget::Kind kind_of(RedirectEntry::Kind kind) {
    switch (kind) {
    case RedirectEntry::Kind::primary: return RedirectTarget::Kind::primary;
    case RedirectEntry::Kind::standby: return RedirectTarget::Kind::standby;
    case RedirectEntry::Kind::node: return RedirectTarget::Kind::node;
    }
    return RedirectTarget::Kind::none;
}

} // namespace

RedirectPreferences::RedirectPreferences(const Config &config)
    : by_user_(compiled(config.user_redirect_preference_list)),
      by_database_(compiled(config.database_redirect_preference_list)),
      by_app_name_(compiled(config.app_name_redirect_preference_list)) {}

std::vector<RedirectPreferences::Entry> RedirectPreferences::compiled(const std::vector<RedirectEntry> &list) {
    std::vector<Entry> entries;
    for (const RedirectEntry &each : list) {
        if (auto pattern = Pattern::compile(each.pattern, Pattern::Case::matters)) { // src/config has refused others
            entries.push_back({.pattern = std::move(*pattern),
                               .target = {.kind = kind_of(each.kind),
                                          .node_id = each.node_id,
                                          .ratio = static_cast<float>(each.ratio)}});
        }
    }
    return entries;
}

const RedirectTarget *RedirectPreferences::find(const std::vector<Entry> &list, std::string_view name) {
    const auto found = std::ranges::find_if(list, [name](const Entry &entry) { return entry.pattern.matches(name); });
    return found == list.end() ? nullptr : &found->target;
}

RedirectTarget RedirectPreferences::target_for(std::string_view user, std::string_view database,
                                               std::string_view app_name) const {
    const RedirectTarget *target = find(by_app_name_, app_name);
    if (target == nullptr) {
        target = find(by_database_, database);
    }
    if (target == nullptr) {
        target = find(by_user_, user);
    }
    return target == nullptr ? RedirectTarget{} : *target;
}

} // namespace pgbalancer
