// Reload: what differs, what of it a reload brings into force, what configurations say about themselves.
#include "config/parameter_lookup.h"
#include "config/parameter_table.h"
#include "config/parameter_value.h"
#include "unit/config_text.h"

#include <algorithm>

#include "unit/cmocka_cpp.h"

namespace {

using namespace pgbalancer;
using namespace pgbalancer::test;

Config config_of(std::string_view text) {
    const ConfigLoad load = load_after_least(text);
    if (!load.config) {
        fail_msg("%s", problems_of(load).c_str());
    }
    return *load.config;
}

// "name: from -> to (reload)" each
std::string changes(const Config &running, const Config &next) {
    std::string text;
    for (const ParameterChange &change : changed_parameters(running, next)) {
        text += change.name + ": " + change.from + " -> " + change.to +
                (change.reloadable ? " (reload)\n" : " (restart)\n");
    }
    return text;
}

std::string joined(const std::vector<std::string> &names) {
    std::string text;
    for (const std::string &name : names) {
        text += (text.empty() ? "" : " ") + name;
    }
    return text;
}

void nothing_differs_from_itself(void **) {
    const Config config = config_of("backend_hostname5 = x\nhealth_check_password = y\n");
    assert_string_equal(changes(config, config).c_str(), "");
    assert_true(changes_needing_restart(config, config).empty());
}

void changes_are_named(void **) {
    const Config running = config_of("port = 1000\nhealth_check_password = old\nclient_idle_limit = 5\n"
                                     "backend_hostname1 = b\nbackend_weight1 = 2\nbackend_hostname2 = c\n");
    const Config next = config_of("port = 1001\nhealth_check_password = new\nclient_idle_limit = 5000ms\n"
                                  "listen_addresses = 'localhost, ::1'\n"
                                  "backend_hostname1 = b\nbackend_weight1 = 3\nbackend_port1 = 5433\n"
                                  "backend_flag1 = ALWAYS_PRIMARY\nbackend_hostname3 = d\n"
                                  "user_pool_mode = 'u:session'\nlog_min_messages = debug\n");
    assert_string_equal(changes(running, next).c_str(),
                        "listen_addresses: localhost -> localhost, ::1 (restart)\n"
                        "port: 1000 -> 1001 (restart)\n"
                        "user_pool_mode:  -> u:session (reload)\n"
                        "backend_port1: 5432 -> 5433 (restart)\n"
                        "backend_weight1: 2 -> 3 (reload)\n"
                        "backend_flag1: ALLOW_TO_FAILOVER -> ALLOW_TO_FAILOVER|ALWAYS_PRIMARY (reload)\n"
                        "backend_hostname2: c ->  (restart)\n"
                        "backend_hostname3:  -> d (restart)\n"
                        "health_check_password: ******** -> ******** (reload)\n"
                        "log_min_messages: notice -> debug (reload)\n");
    assert_string_equal(joined(changes_needing_restart(running, next)).c_str(),
                        "listen_addresses port backend_port1 backend_hostname2 backend_hostname3");
}

void a_reload_takes_what_it_can(void **) {
    const Config running = config_of("port = 1000\nbackend_hostname1 = b\nbackend_weight1 = 2\nbackend_hostname2 = c\n"
                                     "backend_weight2 = 7\n");
    const Config next = config_of("port = 1001\nbackend_hostname1 = B\nbackend_weight1 = 3\nbackend_hostname3 = d\n"
                                  "client_idle_limit = 5\n");
    const Config merged = reloadable_part(running, next);
    assert_int_equal(merged.port, 1000);
    assert_int_equal(merged.client_idle_limit.count(), 5000);
    assert_int_equal(merged.backends.size(), 3);
    assert_string_equal(merged.backends[1].hostname.c_str(), "b");
    assert_true(merged.backends[1].weight == 3);
    assert_int_equal(merged.backends[2].id, 2);
    assert_true(merged.backends[2].weight == 7);
    assert_string_equal(joined(changes_needing_restart(merged, next)).c_str(),
                        joined(changes_needing_restart(running, next)).c_str());
}

// A value of each parameter that differs from its default and passes every check.
std::string other_value(const Parameter &parameter) {
    struct Other {
        std::string operator()(const BoolType &) const { return default_text == "on" ? "off" : "on"; }
        std::string operator()(const IntType &type) const { return std::to_string(type.max); }
        std::string operator()(const PortType &) const { return "7777"; }
        std::string operator()(const PermissionsType &) const { return "0700"; }
        std::string operator()(const RealType &) const { return "0.5"; }
        std::string operator()(const DurationType &) const { return "77s"; }
        std::string operator()(const TextType &) const { return "'other'"; }
        std::string operator()(const ListType &) const { return "'/other'"; }
        std::string operator()(const ChoiceType &type) const {
            return std::string(type.words[type.words[1].text == default_text ? 0 : 1].text);
        }
        std::string operator()(const BytesType &) const { return "77kB"; }
        std::string operator()(const PatternsType &) const { return "'x.*'"; }
        std::string operator()(const RedirectsType &) const { return "'x:standby(0.5)'"; }
        std::string operator()(const PoolModesType &) const { return "'x:session'"; }
        std::string operator()(const BackendFlagsType &) const { return "'ALWAYS_PRIMARY'"; }
        std::string_view default_text;
    };
    if (const auto *list = std::get_if<ListType>(&parameter.type); list && list->kind == ListKind::addresses) {
        return "'::1'";
    }
    return std::visit(Other{.default_text = parameter.default_text}, parameter.type);
}

// Each parameter by itself: it is the one change reported, and the merge has it exactly if it is reloadable.
void each_parameter_is_compared_and_merged(void **) {
    const std::string base = "backend_hostname0 = 'db'\npool_hba_file = h\nlog_file = l\n";
    const ConfigLoad running = load_conf(base);
    assert_true(running.config.has_value());
    for (const Parameter &parameter : parameter_table()) {
        const std::string name = ParameterRef{&parameter, parameter.per_node() ? 0 : kNoNode}.name();
        const ConfigLoad next = load_conf(base + name + " = " + other_value(parameter) + "\n");
        if (!next.config) {
            fail_msg("%s", problems_of(next).c_str());
        }
        const std::vector<ParameterChange> found = changed_parameters(*running.config, *next.config);
        const Config merged = reloadable_part(*running.config, *next.config);
        const size_t left = changed_parameters(merged, *next.config).size();
        const size_t taken = changed_parameters(*running.config, merged).size();
        assert_int_equal(found.size(), 1);
        assert_string_equal(found[0].name.c_str(), name.c_str());
        assert_int_equal(found[0].reloadable, parameter.reloadable);
        assert_int_equal(left, parameter.reloadable ? 0 : 1);
        assert_int_equal(taken, parameter.reloadable ? 1 : 0);
    }
}

void values_are_shown(void **) {
    const Config config = config_of("backend_hostname3 = '/run'\nhealth_check_password = 'secret'\nport = 1\n");
    const auto value = [&](std::string_view name) { return parameter_value(config, name).value_or("(none)"); };
    assert_string_equal(value("port").c_str(), "1");
    assert_string_equal(value("Port").c_str(), "1");
    assert_string_equal(value("backend_hostname3").c_str(), "/run");
    assert_string_equal(value("backend_application_name3").c_str(), "server3");
    assert_string_equal(value("health_check_password").c_str(), "********");
    assert_string_equal(value("sr_check_password").c_str(), "");
    assert_string_equal(value("backend_hostname1").c_str(), "(none)");
    assert_string_equal(value("backend_hostname").c_str(), "(none)");
    assert_string_equal(value("nonsense").c_str(), "(none)");
}

void all_values_are_described(void **) {
    const Config config = config_of("backend_hostname3 = '/run'\nhealth_check_password = 'secret'\n");
    const std::vector<ParameterStatus> statuses = describe_parameters(config);
    size_t per_node = 0;
    for (const Parameter &parameter : parameter_table()) {
        per_node += parameter.per_node() ? 1 : 0;
    }
    bool consistent = true, secret_shown = false;
    for (const ParameterStatus &status : statuses) {
        consistent &= parameter_value(config, status.name) == status.value && !status.help.empty();
        secret_shown |= status.value.find("secret") != std::string::npos;
    }
    const auto first_node = std::ranges::find(statuses, "backend_hostname0", &ParameterStatus::name);
    const auto other_node = std::ranges::find(statuses, "backend_hostname3", &ParameterStatus::name);
    const auto node_size = other_node - first_node;
    assert_int_equal(statuses.size(), parameter_table().size() + per_node);
    assert_int_equal(node_size, per_node);
    assert_true(consistent);
    assert_false(secret_shown);
    assert_string_equal(statuses[0].name.c_str(), "listen_addresses");
    assert_string_equal(statuses[0].default_value.c_str(), "localhost");
    assert_false(statuses[0].reloadable);
}

// What is shown can be written into a file again and means the same.
void shown_values_read_back(void **) {
    const Config config = config_of("listen_addresses = '*, ::1'\nuser_pool_mode = '\"a,b\":session, c:transaction'\n"
                                    "backend_weight0 = 0.1\nbackend_flag0 = 'ALWAYS_PRIMARY|DISALLOW_TO_FAILOVER'\n"
                                    "health_check_period = 1500ms\nunix_socket_permissions = 0\n");
    std::string text;
    for (const ParameterStatus &status : describe_parameters(config)) {
        text += status.name + " = '" + status.value + "'\n";
    }
    const ConfigLoad back = load_conf(text);
    assert_string_equal(problems_of(back).c_str(), "");
    assert_true(changed_parameters(config, *back.config).empty());
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(nothing_differs_from_itself),
        cmocka_unit_test(changes_are_named),
        cmocka_unit_test(a_reload_takes_what_it_can),
        cmocka_unit_test(each_parameter_is_compared_and_merged),
        cmocka_unit_test(values_are_shown),
        cmocka_unit_test(all_values_are_described),
        cmocka_unit_test(shown_values_read_back),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
