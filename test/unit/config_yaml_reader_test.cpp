// The same parameters in YAML: equal to what the other syntax gives, sugar, and what is refused.
#include "config/yaml_reader.h"
#include "unit/config_text.h"

#include "unit/cmocka_cpp.h"

namespace {

using namespace pgbalancer;
using namespace pgbalancer::test;

struct Reading {
    std::string settings; // "line name=<value>" each
    std::string problems; // "line message" each
    bool complete;
};

Reading read(std::string_view text) {
    ProblemList list("f");
    const Settings settings = read_yaml(text, list);
    Reading reading{.settings = {}, .problems = {}, .complete = settings.complete};
    for (const Setting &setting : settings.list) {
        reading.settings += std::to_string(setting.line) + " " + setting.name;
        switch (setting.shape) {
        case ValueShape::single: reading.settings += "=<" + setting.value + ">\n"; break;
        case ValueShape::list: reading.settings += "=[" + setting.value + "]\n"; break;
        case ValueShape::named_words: reading.settings += "={" + setting.value + "}\n"; break;
        case ValueShape::unreadable: reading.settings += " unreadable\n"; break;
        }
    }
    for (const ConfigProblem &problem : list.take()) {
        reading.problems += std::to_string(problem.line) + " " + problem.message + "\n";
    }
    return reading;
}

void settings_are_read(void **) {
    struct Case {
        std::string_view text;
        const char *settings;
    };
    const Case cases[] = {
        {"", ""},
        {"# nothing\n", ""},
        {"---\n", ""},
        {"--- ~\n", ""},
        {"{}", ""},
        {"port: 9999", "1 port=<9999>\n"},
        {"---\nport: 9999\n...\n", "2 port=<9999>\n"},
        {"{port: 9999, max_pool: 3}", "1 port=<9999>\n1 max_pool=<3>\n"},
        {"\xef\xbb\xbfport: 1", "1 port=<1>\n"},
        {"port: '1'\r\nmax_pool: \"2\"\r\n", "1 port=<1>\n2 max_pool=<2>\n"},
        {"unix_socket_permissions: 0770", "1 unix_socket_permissions=<0770>\n"},
        {"a: ''", "1 a=<>\n"},
        {"a: 'null'", "1 a=<null>\n"},
        {"a: yes", "1 a=<yes>\n"},
        {"a: it's # comment", "1 a=<it's>\n"},
        {"a: \"x\\ty\"", "1 a=<x\ty>\n"},
        {"a: |\n  text\n", "1 a=<text\n>\n"},
        {"a: 1\na: 2", "1 a=<1>\n2 a=<2>\n"},
        {"a: [x, 'y,z', '*']", "1 a=[x, \"y,z\", *]\n"},
        {"a:\n  - x\n  - y\n", "1 a=[x, y]\n"},
        {"a: []", "1 a=[]\n"},
        {"a: {x: session, 'y,z': transaction}", "1 a={x:session, \"y,z\":transaction}\n"},
        {"a: {}", "1 a={}\n"},
        {"backends: []", ""},
        {"backends:\n  - hostname: a\n    port: 1\n  - {hostname: b}\n",
         "2 backend_hostname0=<a>\n3 backend_port0=<1>\n4 backend_hostname1=<b>\n"},
        {"backends:\n  - hostname: a\n    id: 7\n  - {id: 0, hostname: b}\n",
         "2 backend_hostname7=<a>\n4 backend_hostname0=<b>\n"},
        {"Backends:\n  - {hostname: a}\nport: 1\n", "2 backend_hostname0=<a>\n3 port=<1>\n"},
    };
    for (const Case &c : cases) {
        const Reading reading = read(c.text);
        assert_string_equal(reading.settings.c_str(), c.settings);
        assert_string_equal(reading.problems.c_str(), "");
        assert_true(reading.complete);
    }
}

// What can be read is read, on both sides of the error.
void misfits_are_reported_and_the_rest_is_read(void **) {
    struct Case {
        const char *text;
        const char *problems;
        const char *settings;
    };
    const Case cases[] = {
        {"- port\n- 1\n", "1 expected a mapping of parameter names to values\n", ""},
        {"port", "1 expected a mapping of parameter names to values\n", ""},
        {"a:\nb: ~\nc: null\nd: 1\n",
         "1 parameter \"a\" has no value; an empty one is written ''\n"
         "2 parameter \"b\" has no value; an empty one is written ''\n"
         "3 parameter \"c\" has no value; an empty one is written ''\n",
         "1 a unreadable\n2 b unreadable\n3 c unreadable\n4 d=<1>\n"},
        {"a: [x, [y, {z: 1}], {q: r}]\nb: 1\n",
         "1 the value of \"a\" is nested too deeply\n1 the value of \"a\" is nested too deeply\n",
         "1 a unreadable\n2 b=<1>\n"},
        {"a: {x: [y]}\nb: 1\n", "1 the value of \"a\" is nested too deeply\n", "1 a unreadable\n2 b=<1>\n"},
        {"a: {x: 'session, y:session'}\nb: 1\n", "1 \"a\" is not a mapping of names to words\n",
         "1 a unreadable\n2 b=<1>\n"},
        {"a: {[x]: session}\nb: 1\n", "1 expected a name\n", "1 a={}\n2 b=<1>\n"},
        {"[a, b]: {c: [d]}\nb: 1\n", "1 expected a name\n", "2 b=<1>\n"},
        {"a: &anchor 1\nb: *anchor\nc: 1\n",
         "1 anchors and aliases are not supported\n2 anchors and aliases are not supported\n",
         "1 a=<1>\n2 b unreadable\n3 c=<1>\n"},
        {"a: [x, *y]\n", "1 anchors and aliases are not supported\n", "1 a unreadable\n"},
        {"port: 1\n---\nport: 2\n", "2 only one document is read\n", "1 port=<1>\n"},
        {"backends: 3\nb: 1\n", "1 backends is a sequence of mappings\n", "2 b=<1>\n"},
        {"backends: {hostname: a}\nb: 1\n", "1 backends is a sequence of mappings\n", "2 b=<1>\n"},
        {"backends: [a, {hostname: b}, [c]]\n",
         "1 backends is a sequence of mappings\n1 backends is a sequence of mappings\n", "1 backend_hostname1=<b>\n"},
        {"backends:\n  - {id: 1, hostname: a}\n  - {hostname: b}\n", "3 backend 1 appears twice in backends\n",
         "2 backend_hostname1=<a>\n"},
        {"backends:\n  - {id: 128, hostname: a}\n  - {id: x}\n  - {id: [1]}\n  - {id: }\n",
         "2 the id of a backend is a number from 0 to 127\n"
         "3 the id of a backend is a number from 0 to 127\n"
         "4 the value of \"id\" is nested too deeply\n"
         "4 the id of a backend is a number from 0 to 127\n"
         "5 parameter \"id\" has no value; an empty one is written ''\n"
         "5 the id of a backend is a number from 0 to 127\n",
         ""},
        {"backends:\n  - {hostname1: a, port: 1}\n", "2 in backends, names are written without a number\n",
         "2 backend_port0=<1>\n"},
    };
    for (const Case &c : cases) {
        const Reading reading = read(c.text);
        assert_string_equal(reading.problems.c_str(), c.problems);
        assert_string_equal(reading.settings.c_str(), c.settings);
        assert_true(reading.complete);
    }
}

void a_syntax_error_ends_reading(void **) {
    for (const char *text : {"port: 1\nmax_pool: [1\n", "port: 1\nmax_pool: 2\n\tb: 3\n",
                             "port: 1\nlisten_addresses: *\n", "port: 1\nb: \"x\n", "port: 1\nb: %x\n"}) {
        const Reading reading = read(text);
        const bool reported = reading.problems.find("not valid YAML: ") != std::string::npos;
        const bool before_is_kept = reading.settings.starts_with("1 port=<1>\n");
        assert_false(reading.complete);
        assert_true(reported);
        assert_true(before_is_kept);
    }
    const Reading not_utf8 = read("port: \xff\xfe");
    assert_false(not_utf8.complete);
    // Nothing is said to be missing when it may only not have been reached.
    const ConfigLoad load = load_yaml("port: 99999\nmax_pool: 3\n\tbackend_hostname0: db\n");
    assert_int_equal(load.problems.size(), 2);
    assert_string_equal(load.problems[0].message.c_str(), "port: \"99999\" is outside the range 1 .. 65535");
    assert_int_equal(load.problems[1].line, 3);
}

// libyaml alone takes minutes for a file of brackets.
void deep_nesting_ends_reading(void **) {
    std::string block = "a:\n";
    for (size_t depth = 1; depth < 500; depth++) {
        block += std::string(depth, ' ') + "- \n";
    }
    for (const std::string &text : {"a: " + std::string(200'000, '['), "a: " + std::string(100'000, '{'), block}) {
        const Reading reading = read(text);
        const bool reported = reading.problems.find(" nested too deeply\n") != std::string::npos;
        assert_false(reading.complete);
        assert_true(reported);
    }
    const Reading skipped = read("a: [[[[[[b]]]]]]\nb: 1\n");
    assert_string_equal(skipped.settings.c_str(), "1 a unreadable\n2 b=<1>\n");
}

constexpr std::string_view kConf = R"(
listen_addresses = '*, ::1'
port = 6432
unix_socket_directories = '/tmp, run'
unix_socket_permissions = 0770
num_init_children = 3
pool_mode = session
database_pool_mode = 'shop:transaction, "a,b":session'
user_pool_mode = 'batch:session'
backend_hostname0 = '/var/run/postgresql'
backend_flag0 = 'ALWAYS_PRIMARY|DISALLOW_TO_FAILOVER'
backend_hostname7 = 'db7.example.com'
backend_port7 = 5433
backend_weight7 = 0.5
pool_passwd = 'pool_passwd'
health_check_user = 'checker'
health_check_password = 'it''s: a # secret'
health_check_period = 500ms
query_wait_timeout = 30
lazy_begin = off
log_min_messages = debug1
)";

constexpr std::string_view kFlatYaml = R"(
listen_addresses: '*, ::1'
port: 6432
unix_socket_directories: /tmp, run
unix_socket_permissions: 0770
num_init_children: 3
pool_mode: session
database_pool_mode: 'shop:transaction, "a,b":session'
user_pool_mode: batch:session
backend_hostname0: /var/run/postgresql
backend_flag0: ALWAYS_PRIMARY|DISALLOW_TO_FAILOVER
backend_hostname7: db7.example.com
backend_port7: 5433
backend_weight7: 0.5
pool_passwd: pool_passwd
health_check_user: checker
health_check_password: "it's: a # secret"
health_check_period: 500ms
query_wait_timeout: 30
lazy_begin: off
log_min_messages: debug1
)";

constexpr std::string_view kNestedYaml = R"(
listen_addresses: ['*', '::1']
port: 6432
unix_socket_directories:
  - /tmp
  - run
unix_socket_permissions: 0770
num_init_children: 3
pool_mode: session
database_pool_mode: {shop: transaction, 'a,b': session}
user_pool_mode:
  batch: session
backends:
  - hostname: /var/run/postgresql
    flag: ALWAYS_PRIMARY|DISALLOW_TO_FAILOVER
  - {id: 7, hostname: db7.example.com, port: 5433, weight: 0.5}
pool_passwd: pool_passwd
health_check_user: checker
health_check_password: 'it''s: a # secret'
health_check_period: 500ms
query_wait_timeout: 30
lazy_begin: false
log_min_messages: debug
)";

void all_ways_to_write_it_are_equal(void **) {
    const ConfigLoad conf = load_conf(kConf), flat = load_yaml(kFlatYaml), nested = load_yaml(kNestedYaml);
    assert_string_equal(problems_of(conf).c_str(), "");
    assert_string_equal(problems_of(flat).c_str(), "");
    assert_string_equal(problems_of(nested).c_str(), "");
    const size_t flat_changes = changed_parameters(*conf.config, *flat.config).size();
    const size_t nested_changes = changed_parameters(*conf.config, *nested.config).size();
    assert_int_equal(flat_changes, 0);
    assert_int_equal(nested_changes, 0);
    assert_string_equal(nested.config->health_check_password.c_str(), "it's: a # secret");
}

void problems_have_the_line_of_their_name(void **) {
    const ConfigLoad load = load_yaml("backends:\n"
                                      "  - hostname: db\n"
                                      "    prot: 1\n"
                                      "    weight: -1\n"
                                      "health_check_user: [h]\n"
                                      "pool_passwd: {p: q}\n"
                                      "listen_addresses: {a: b}\n"
                                      "backend_hostname0: other\n");
    assert_string_equal(problems_of(load).c_str(),
                        "3: error: unknown parameter \"backend_prot0\", did you mean \"backend_port0\"?\n"
                        "4: error: backend_weight0: \"-1\" is outside the range 0 .. 1000000\n"
                        "5: error: health_check_user takes a single value\n"
                        "6: error: pool_passwd takes a single value\n"
                        "7: error: listen_addresses takes a single value\n"
                        "8: warning: backend_hostname0 is set again; line 2 has no effect\n");
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(settings_are_read),
        cmocka_unit_test(misfits_are_reported_and_the_rest_is_read),
        cmocka_unit_test(a_syntax_error_ends_reading),
        cmocka_unit_test(deep_nesting_ends_reading),
        cmocka_unit_test(all_ways_to_write_it_are_equal),
        cmocka_unit_test(problems_have_the_line_of_their_name),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
