// Every row of the parameter table: its default, the ends of its range, values it refuses, what it shows.
#include "config/conf_reader.h"
#include "config/duration_text.h"
#include "config/parameter_assign.h"
#include "config/parameter_lookup.h"
#include "config/parameter_table.h"
#include "config/parameter_value.h"
#include "unit/config_text.h"

#include <algorithm>
#include <set>

#include "unit/cmocka_cpp.h"

namespace {

using namespace pgbalancer;
using namespace pgbalancer::test;

constexpr const char *kBase = "/base";

// One parameter of a configuration of its own.
struct Bench {
    const Parameter &parameter;
    Config config;
    BackendConfig backend;

    std::optional<std::string> assign(std::string_view text) {
        return assign_parameter(parameter, text, kBase, config, &backend);
    }
    std::string shown(Secrets secrets = Secrets::plain) const {
        return parameter_text(parameter, config, &backend, secrets);
    }
};

const Parameter &row(std::string_view name) {
    const auto found = std::ranges::find(parameter_table(), name, &Parameter::name);
    if (found == parameter_table().end()) {
        fail_msg("no parameter %.*s", static_cast<int>(name.size()), name.data());
    }
    return *found;
}

// "" if accepted, else the complaint.
std::string complaint(std::string_view name, std::string_view text) {
    Bench bench{.parameter = row(name), .config = {}, .backend = {}};
    return bench.assign(text).value_or("");
}

// What is shown after assigning the text, or "refused".
std::string becomes(std::string_view name, std::string_view text) {
    Bench bench{.parameter = row(name), .config = {}, .backend = {}};
    return bench.assign(text) ? "refused" : bench.shown();
}

void rows_are_well_formed(void **) {
    std::set<std::string_view> names;
    std::set<Section> sections;
    const Parameter *previous = nullptr;
    for (const Parameter &parameter : parameter_table()) {
        const bool new_name = names.insert(parameter.name).second;
        const bool section_in_one_piece = (previous != nullptr && previous->section == parameter.section) ||
                                          sections.insert(parameter.section).second;
        const auto found = find_parameter(std::string(parameter.name) + (parameter.per_node() ? "3" : ""));
        const bool is_found =
            found && found->parameter == &parameter && found->node == (parameter.per_node() ? 3 : kNoNode);
        const bool help_is_a_sentence =
            parameter.help.ends_with('.') && (parameter.note.empty() || parameter.note.ends_with('.'));
        const bool has_title = !section_title(parameter.section).empty();
        assert_true(new_name);
        assert_true(section_in_one_piece);
        assert_true(is_found);
        assert_true(help_is_a_sentence);
        assert_true(has_title);
        previous = &parameter;
    }
}

// The initializers of Config and BackendConfig and the table say the same, so that a Config made in a test of
// another folder is like one that was loaded.
void defaults_are_those_of_the_struct(void **) {
    const std::set<std::string_view> only_in_table = {"listen_addresses", "unix_socket_directories",
                                                      "num_init_children", "pid_file_name", "work_dir"};
    for (const Parameter &parameter : parameter_table()) {
        Bench bench{.parameter = parameter, .config = {}, .backend = {}};
        const std::string initial = bench.shown();
        const auto refusal = bench.assign(parameter.default_text);
        const std::string assigned = bench.shown();
        assert_false(refusal.has_value());
        if (!only_in_table.contains(parameter.name)) {
            assert_string_equal(assigned.c_str(), initial.c_str());
        }
    }
    const ConfigLoad load = load_conf(kLeast);
    assert_true(load.config.has_value());
    const Config &config = *load.config;
    const bool lists = config.listen_addresses == std::vector<std::string>{"localhost"} &&
                       config.unix_socket_directories == std::vector<std::string>{"/tmp"};
    assert_true(lists);
    assert_in_range(config.num_init_children, 1, 1024);
    assert_string_equal(config.pid_file_name.c_str(), "/var/run/pgbalancer/pgbalancer.pid");
    assert_string_equal(config.work_dir.c_str(), "/var/lib/pgbalancer");
    assert_string_equal(config.backends.at(0).application_name.c_str(), "server0");
    assert_string_equal(config.source_path.c_str(), kConfPath);
}

void documented_defaults(void **) {
    const Config config = load_conf(kLeast).config.value();
    assert_int_equal(config.port, 9999);
    assert_int_equal(config.unix_socket_permissions, 0777);
    assert_int_equal(config.max_pool, 32);
    assert_int_equal(config.max_client_conn, 10000);
    assert_int_equal(config.health_check_period.count(), 2000);
    assert_int_equal(config.sr_check_period.count(), 200);
    assert_int_equal(config.connect_timeout.count(), 10000);
    assert_true(config.pool_mode == PoolMode::transaction);
    assert_true(config.client_auth_method == ClientAuthMethod::scram_sha_256);
    assert_false(config.enable_pool_hba);
    assert_false(config.allow_trust_remote);
    assert_true(config.lazy_begin);
    assert_true(config.sequence_pin);
    assert_true(config.load_balance_mode);
    assert_false(config.statement_level_load_balance);
    assert_true(config.disable_load_balance_on_write == DisableOnWrite::transaction);
    assert_true(config.read_your_writes == ReadYourWrites::session);
}

void restart_is_needed_for_what_is_fixed_at_start(void **) {
    std::set<std::string_view> names;
    for (const Parameter &parameter : parameter_table()) {
        if (!parameter.reloadable) {
            names.insert(parameter.name);
        }
    }
    const std::set<std::string_view> expected = {"listen_addresses",
                                                 "port",
                                                 "unix_socket_directories",
                                                 "unix_socket_permissions",
                                                 "unix_socket_group",
                                                 "max_client_conn",
                                                 "num_init_children",
                                                 "max_pool",
                                                 "backend_hostname",
                                                 "backend_port",
                                                 "statement_cache_size",
                                                 "pid_file_name",
                                                 "work_dir"};
    const bool same = names == expected;
    assert_true(same);
}

// Low and high are accepted and come back; what lies next to them outside is refused and changes nothing.
void expect_range(const Parameter &parameter, std::string_view below, std::string_view low, std::string_view high,
                  std::string_view above) {
    Bench bench{.parameter = parameter, .config = {}, .backend = {}};
    const bool low_refused = bench.assign(low).has_value();
    const std::string low_shown = bench.shown();
    const bool high_refused = bench.assign(high).has_value();
    const std::string high_shown = bench.shown();
    const std::string below_complaint = bench.assign(below).value_or("accepted");
    const std::string above_complaint = bench.assign(above).value_or("accepted");
    const std::string at_the_end = bench.shown();
    const std::string expected = "is outside the range " + range_text(parameter);
    assert_false(low_refused);
    assert_false(high_refused);
    assert_string_equal(low_shown.c_str(), std::string(low).c_str());
    assert_string_equal(high_shown.c_str(), std::string(high).c_str());
    assert_string_equal(below_complaint.c_str(), expected.c_str());
    assert_string_equal(above_complaint.c_str(), expected.c_str());
    assert_string_equal(at_the_end.c_str(), high_shown.c_str());
}

void expect_refused(const Parameter &parameter, std::initializer_list<std::string_view> texts) {
    for (const std::string_view text : texts) {
        Bench bench{.parameter = parameter, .config = {}, .backend = {}};
        const std::string before = bench.shown();
        const bool refused = bench.assign(text).has_value();
        const std::string after = bench.shown();
        if (!refused) {
            fail_msg("%s accepts \"%s\"", std::string(parameter.name).c_str(), std::string(text).c_str());
        }
        assert_string_equal(after.c_str(), before.c_str());
    }
}

struct CheckRow {
    const Parameter &parameter;

    void operator()(const BoolType &) const {
        for (const char *yes : {"on", "ON", "true", "yes", "1", "t", "y"}) {
            assert_string_equal(becomes(parameter.name, yes).c_str(), "on");
        }
        for (const char *no : {"off", "False", "no", "0", "f", "n"}) {
            assert_string_equal(becomes(parameter.name, no).c_str(), "off");
        }
        expect_refused(parameter, {"", "2", "o", "onn", "enable"});
    }
    void operator()(const IntType &type) const {
        const std::string below = std::to_string(type.min - 1), above = std::to_string(type.max + 1);
        expect_range(parameter, below, std::to_string(type.min), std::to_string(type.max), above);
        expect_range(parameter, "-99999999999999999999", std::to_string(type.min), std::to_string(type.max),
                     "99999999999999999999");
        expect_refused(parameter, {"", "abc", "1.5", "1 2", "0x10", "12kB", "+1", "1e3"});
        if (type.automatic == nullptr) {
            expect_refused(parameter, {"auto"});
        }
    }
    void operator()(const PortType &) const {
        expect_range(parameter, "0", "1", "65535", "65536");
        expect_range(parameter, "-1", "1", "65535", "4294967297");
        expect_refused(parameter, {"", "abc", "54.32", "5432s"});
    }
    void operator()(const PermissionsType &) const {
        expect_range(parameter, "-1", "00", "0777", "01000");
        assert_string_equal(becomes(parameter.name, "640").c_str(), "0640");
        expect_refused(parameter, {"", "0778", "rw-r--r--", "0x1ff"});
    }
    void operator()(const RealType &type) const {
        const std::string highest = std::to_string(static_cast<long>(type.max));
        expect_range(parameter, "-0.001", "0", highest, "1e300");
        expect_range(parameter, "-1e999", "0.5", "1.25", "inf");
        assert_string_equal(becomes(parameter.name, "1e-3").c_str(), "0.001");
        assert_string_equal(becomes(parameter.name, "-0").c_str(), "0");
        expect_refused(parameter, {"", "nan", "half", "1,5", "1s"});
    }
    void operator()(const BytesType &) const {
        const std::string most = std::to_string(kMostBytes);
        expect_range(parameter, std::to_string(kMostBytes + 1), "0", most, "99999999999999999999");
        expect_range(parameter, "2097152TB", "1", most, "1048577TB");
        assert_string_equal(becomes(parameter.name, "10kB").c_str(), "10240");
        assert_string_equal(becomes(parameter.name, "3 mb").c_str(), "3145728");
        assert_string_equal(becomes(parameter.name, "7B").c_str(), "7");
        expect_refused(parameter, {"", "kB", "-1", "1.5MB", "1 2", "1s", "1kBB", "ten"});
    }
    void operator()(const DurationType &type) const {
        using namespace std::chrono_literals;
        expect_range(parameter, std::to_string(type.min.count() - 1) + "ms", duration_text(type.min),
                     duration_text(type.max), std::to_string(type.max.count() + 1) + "ms");
        const std::string ten = type.unit == DurationUnit::seconds ? "10s" : "10ms";
        assert_string_equal(becomes(parameter.name, "10").c_str(), ten.c_str());
        assert_string_equal(becomes(parameter.name, "90s").c_str(), "90s");
        expect_refused(parameter, {"", "soon", "10 sec", "1e1", "10us", "s"});
    }
    void operator()(const TextType &type) const {
        switch (type.kind) {
        case TextKind::plain:
        case TextKind::secret: assert_string_equal(becomes(parameter.name, "it's 1, x").c_str(), "it's 1, x"); break;
        case TextKind::path:
            assert_string_equal(becomes(parameter.name, "a/../b").c_str(), "/base/b");
            assert_string_equal(becomes(parameter.name, "/abs/x").c_str(), "/abs/x");
            assert_string_equal(becomes(parameter.name, "").c_str(), "");
            break;
        case TextKind::host:
            for (const char *host : {"db1.example.com", "192.0.2.1", "fe80::1%eth0", "/var/run/postgresql"}) {
                assert_string_equal(becomes(parameter.name, host).c_str(), host);
            }
            expect_refused(parameter, {"db1,db2", "a b", "run/postgresql", "host=x", std::string(300, 'x'),
                                       "/" + std::string(100, 'x')});
            break;
        }
        expect_refused(parameter, {"a\nb", "tab\t", "\x7f", {"nul\0", 4}});
    }
    void operator()(const ListType &type) const {
        if (type.kind == ListKind::addresses) {
            assert_string_equal(becomes(parameter.name, "a,::1 , *").c_str(), "a, ::1, *");
            expect_refused(parameter, {"/tmp", "a b", "a,/x"});
        } else {
            assert_string_equal(becomes(parameter.name, "/tmp, run").c_str(), "/tmp, /base/run");
            expect_refused(parameter, {"/" + std::string(100, 'x')});
        }
        assert_string_equal(becomes(parameter.name, "").c_str(), "");
        expect_refused(parameter, {"a,,b", ",", "\"", "\"\"", "a\nb"});
    }
    void operator()(const ChoiceType &type) const {
        for (const Word &word : type.words) {
            Bench bench{.parameter = parameter, .config = {}, .backend = {}};
            const bool refused = bench.assign(word.text).has_value();
            const int value = type.get(bench.config);
            const bool comes_back = !bench.assign(bench.shown()) && type.get(bench.config) == value;
            assert_false(refused);
            assert_int_equal(value, word.value);
            assert_true(comes_back);
        }
        expect_refused(parameter, {"", "x", "0"});
    }
    void operator()(const PoolModesType &) const {
        assert_string_equal(becomes(parameter.name, "a:session, \"b,c\":Transaction").c_str(),
                            "a:session, \"b,c\":transaction");
        assert_string_equal(becomes(parameter.name, "").c_str(), "");
        expect_refused(parameter, {"a", "a:", ":session", "a:statement", "a:session,a:session", "a:session,"});
    }
    void operator()(const PatternsType &type) const {
        if (type.kind == PatternKind::names) {
            assert_string_equal(becomes(parameter.name, "get_.*,\"f{1,2}\", s\\.f").c_str(),
                                "get_.*, \"f{1,2}\", s\\.f");
            expect_refused(parameter, {"a,,b", "\"a", "a,(b", "a)b(", "[a", "a\nb"});
        } else {
            assert_string_equal(becomes(parameter.name, "SELECT \\* FROM a\\; ;; .*b, c.*").c_str(),
                                "SELECT \\* FROM a\\;;.*b, c.*");
            assert_string_equal(becomes(parameter.name, "SELECT \\'a\\'").c_str(), "SELECT 'a'");
            assert_string_equal(becomes(parameter.name, "\\\\;b").c_str(), "\\\\;b");
            expect_refused(parameter, {"a;(b", "a;b)c(", "[", "a\nb"});
        }
        assert_string_equal(becomes(parameter.name, "").c_str(), "");
    }
    void operator()(const RedirectsType &) const {
        assert_string_equal(
            becomes(parameter.name, "a:primary,b[0-4]:1 , \"c,d\":Standby(0.5), e:2( 0.25 ), :3").c_str(), "refused");
        assert_string_equal(becomes(parameter.name, "a:primary,b[0-4]:1 , \"c,d\":Standby(0.5), e:2( 0.25 )").c_str(),
                            "a:primary, b[0-4]:1, \"c,d\":standby(0.5), e:2(0.25)");
        assert_string_equal(becomes(parameter.name, "[[:alpha:]]+:0(1.0), b:127(0)").c_str(),
                            "[[:alpha:]]+:0, b:127(0)");
        assert_string_equal(becomes(parameter.name, "").c_str(), "");
        expect_refused(parameter, {"a", "a:", "a:128", "a:-1", "a:1(2)", "a:1(-0.1)", "a:1(x)", "a:1(0.5", "a:1()",
                                   "a:secondary", "(a:1", "a:1,", "a:primary standby", "a:1(0.5)x"});
    }
    void operator()(const BackendFlagsType &) const {
        struct Case {
            const char *text;
            const char *shown;
        };
        const Case cases[] = {{"", "ALLOW_TO_FAILOVER"},
                              {"allow_to_failover", "ALLOW_TO_FAILOVER"},
                              {"DISALLOW_TO_FAILOVER", "DISALLOW_TO_FAILOVER"},
                              {"ALWAYS_PRIMARY", "ALLOW_TO_FAILOVER|ALWAYS_PRIMARY"},
                              {"ALWAYS_PRIMARY | DISALLOW_TO_FAILOVER", "DISALLOW_TO_FAILOVER|ALWAYS_PRIMARY"},
                              {"ALWAYS_PRIMARY|ALWAYS_PRIMARY", "ALLOW_TO_FAILOVER|ALWAYS_PRIMARY"}};
        for (const Case &c : cases) {
            assert_string_equal(becomes(parameter.name, c.text).c_str(), c.shown);
        }
        expect_refused(parameter, {"|", "ALWAYS_PRIMARY|", "PRIMARY", "ALLOW_TO_FAILOVER,ALWAYS_PRIMARY",
                                   "ALLOW_TO_FAILOVER|DISALLOW_TO_FAILOVER"});
    }
};

void every_row_keeps_to_its_type_and_range(void **) {
    for (const Parameter &parameter : parameter_table()) {
        std::visit(CheckRow{parameter}, parameter.type);
    }
}

void workers_may_be_automatic(void **) {
    const std::string shown = becomes("num_init_children", "Auto");
    const int workers = std::atoi(shown.c_str());
    const std::string wrong = complaint("num_init_children", "many");
    assert_in_range(workers, 1, 1024);
    assert_string_equal(wrong.c_str(), "is neither an integer nor auto");
}

void log_levels_of_pgpool_are_understood(void **) {
    assert_string_equal(becomes("log_min_messages", "debug3").c_str(), "debug");
    assert_string_equal(becomes("log_min_messages", "LOG").c_str(), "notice");
    assert_string_equal(becomes("log_min_messages", "panic").c_str(), "fatal");
    assert_string_equal(complaint("log_min_messages", "debug6").c_str(),
                        "is none of debug, info, notice, warning, error, fatal");
}

void secrets_are_masked_when_shown(void **) {
    Bench bench{.parameter = row("health_check_password"), .config = {}, .backend = {}};
    const std::string unset = bench.shown(Secrets::masked);
    (void)bench.assign("s3cret");
    const std::string masked = bench.shown(Secrets::masked), plain = bench.shown();
    assert_string_equal(unset.c_str(), "");
    assert_string_equal(masked.c_str(), "********");
    assert_string_equal(plain.c_str(), "s3cret");
}

void names_are_found(void **) {
    const auto node_of = [](std::string_view name) {
        const auto ref = find_parameter(name);
        return ref ? ref->node : -2;
    };
    assert_int_equal(node_of("port"), kNoNode);
    assert_int_equal(node_of("PORT"), kNoNode);
    assert_int_equal(node_of("backend_port0"), 0);
    assert_int_equal(node_of("Backend_Port127"), 127);
    for (const char *unknown : {"", "port0", "backend_port", "backend_port128", "backend_port00", "backend_port01",
                                "backend_port-1", "backend_port99999999999999999999", "backend_port0x", "0"}) {
        assert_int_equal(node_of(unknown), -2);
    }
}

void unknown_names_get_a_suggestion(void **) {
    struct Case {
        std::string name;
        const char *rest;
    };
    const Case cases[] = {
        {"prot", ", did you mean \"port\"?"},
        {"max_pools", ", did you mean \"max_pool\"?"},
        {"num_init_childen", ", did you mean \"num_init_children\"?"},
        {"health_chek_perod", ", did you mean \"health_check_period\"?"},
        {"POOLMODE", ", did you mean \"pool_mode\"?"},
        {"backend_hostnam1", ", did you mean \"backend_hostname1\"?"},
        {"backend_wieght12", ", did you mean \"backend_weight12\"?"},
        {"backend_hostname", ": it takes a node number, as in backend_hostname0"},
        {"backend_hostname128", ": node numbers go from 0 to 127, as in backend_hostname0"},
        {"backend_hostname01", ": node numbers go from 0 to 127, as in backend_hostname0"},
        {"enable_rest_api", ""},
        {"x", ""},
    };
    for (const Case &c : cases) {
        const std::string message = unknown_parameter_message(c.name);
        const std::string expected = "unknown parameter \"" + c.name + "\"" + c.rest;
        assert_string_equal(message.c_str(), expected.c_str());
    }
    const std::string long_name = unknown_parameter_message(std::string(100000, 'x'));
    assert_in_range(long_name.size(), 80, 200);
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(rows_are_well_formed),
        cmocka_unit_test(defaults_are_those_of_the_struct),
        cmocka_unit_test(documented_defaults),
        cmocka_unit_test(restart_is_needed_for_what_is_fixed_at_start),
        cmocka_unit_test(every_row_keeps_to_its_type_and_range),
        cmocka_unit_test(workers_may_be_automatic),
        cmocka_unit_test(log_levels_of_pgpool_are_understood),
        cmocka_unit_test(secrets_are_masked_when_shown),
        cmocka_unit_test(names_are_found),
        cmocka_unit_test(unknown_names_get_a_suggestion),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
