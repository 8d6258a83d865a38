// redirect_preference.h: where the redirect preference lists send a session's reads.
//
// Made from a Config (again at each reload), owned by the worker; asked once per session, at login. Pure; allocates.
#pragma once

#include "child/router.h"
#include "common/pattern.h"
#include "config/config.h"

#include <string_view>
#include <vector>

namespace pgbalancer {

class RedirectPreferences {
  public:
    explicit RedirectPreferences(const Config &config);

    // app_name beats database beats user; in each list the first pattern that matches the whole name counts.
    // `app_name` is that of the startup packet.
    [[nodiscard]] RedirectTarget target_for(std::string_view user, std::string_view database,
                                            std::string_view app_name) const;

  private:
    struct Entry {
        Pattern pattern;
        RedirectTarget target;
    };
    static std::vector<Entry> compiled(const std::vector<RedirectEntry> &list);
    static const RedirectTarget *find(const std::vector<Entry> &list, std::string_view name);

    std::vector<Entry> by_user_;
    std::vector<Entry> by_database_;
    std::vector<Entry> by_app_name_;
};

} // namespace pgbalancer
