// Which redirect preference list decides for whom.
#include "child/redirect_preference.h"

#include <string>

#include "unit/cmocka_cpp.h"

namespace {

using namespace pgbalancer;
using EntryKind = RedirectEntry::Kind;
using Kind = RedirectTarget::Kind;

std::string describe(const RedirectTarget &target) {
    switch (target.kind) {
    case Kind::none: return "none";
    case Kind::primary: return "primary";
    case Kind::standby: return "standby";
    case Kind::node: return std::to_string(target.node_id);
    }
    return {};
}

void the_application_beats_the_database_beats_the_user(void **) {
    Config config;
    config.user_redirect_preference_list = {{.pattern = "u.*", .kind = EntryKind::node, .node_id = 1},
                                            {.pattern = "u2", .kind = EntryKind::node, .node_id = 2}};
    config.database_redirect_preference_list = {{.pattern = "d", .kind = EntryKind::standby, .ratio = 0.25}};
    config.app_name_redirect_preference_list = {{.pattern = "psql", .kind = EntryKind::primary},
                                                {.pattern = "", .kind = EntryKind::node, .node_id = 9}};
    const RedirectPreferences preferences(config);
    struct Case {
        const char *user;
        const char *database;
        const char *app_name;
        const char *expected;
    };
    const Case cases[] = {
        {"x", "x", "x", "none"},       {"u", "x", "x", "1"},          {"u2", "x", "x", "1"}, // the first that matches
        {"xu", "x", "x", "none"},      {"u", "d", "x", "standby"},    {"u", "dd", "x", "1"},
        {"u", "d", "psql", "primary"}, {"u", "d", "PSQL", "standby"}, {"x", "x", "psqlx", "none"},
        {"u", "d", "", "9"},
    };
    for (const Case &c : cases) {
        assert_string_equal(describe(preferences.target_for(c.user, c.database, c.app_name)).c_str(), c.expected);
    }
    assert_true(preferences.target_for("x", "d", "x").ratio == 0.25F);
    assert_string_equal(describe(RedirectPreferences(Config{}).target_for("u", "d", "")).c_str(), "none");
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(the_application_beats_the_database_beats_the_user),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
