// Loading as a whole: all problems at once and where, what fits together, files.
#include "unit/config_text.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sys/stat.h>
#include <unistd.h>

#include "unit/cmocka_cpp.h"

namespace {

using namespace pgbalancer;
using namespace pgbalancer::test;

// A directory of its own, removed with everything in it.
class TempDirectory {
  public:
    TempDirectory() {
        char name[] = "/tmp/config_loader_test.XXXXXX";
        path_ = mkdtemp(name) == nullptr ? "" : name;
    }
    ~TempDirectory() { std::filesystem::remove_all(path_); }
    TempDirectory(const TempDirectory &) = delete;
    TempDirectory &operator=(const TempDirectory &) = delete;

    std::string write(const std::string &name, std::string_view text, mode_t mode = 0600) const {
        const std::string file = path_ + "/" + name;
        std::ofstream(file) << text;
        chmod(file.c_str(), mode);
        return file;
    }
    const std::string &path() const { return path_; }

  private:
    std::string path_;
};

std::string without(std::string text, const std::string &part) {
    for (size_t at = text.find(part); !part.empty() && at != std::string::npos; at = text.find(part)) {
        text.erase(at, part.size());
    }
    return text;
}

void all_errors_are_reported_at_once(void **) {
    const ConfigLoad load = load_conf("prot = 1\n"
                                      "port = 99999\n"
                                      "max_pool = 'many'\n"
                                      "pool_mode = statement\n"
                                      "max_client_conn\n"
                                      "health_check_password = 'top\tsecret'\n"
                                      "?\n"
                                      "backend_port1 = 5433\n"
                                      "client_idle_limits = 3 weeks\n"
                                      "log_destination = file\n"
                                      "enable_pool_hba = on\n"
                                      "health_check_user = h\n");
    const std::string problems = problems_of(load);
    assert_false(load.config.has_value());
    assert_string_equal(
        problems.c_str(),
        "1: error: unknown parameter \"prot\", did you mean \"port\"?\n"
        "2: error: port: \"99999\" is outside the range 1 .. 65535\n"
        "3: error: max_pool: \"many\" is not an integer\n"
        "4: error: pool_mode: \"statement\" is none of transaction, session\n"
        "5: error: parameter \"max_client_conn\" has no value; an empty one is written ''\n"
        "6: error: health_check_password: the value contains a control character\n"
        "7: error: \"?\" is not a parameter name\n"
        "8: error: backend_port1 is set but backend_hostname1 is not\n"
        "9: error: unexpected text after the value of \"client_idle_limits\"; a value with spaces, quotes or # is "
        "written in single quotes\n"
        "9: error: unknown parameter \"client_idle_limits\", did you mean \"client_idle_limit\"?\n"
        "10: error: log_destination is file but log_file is not set\n"
        "11: error: enable_pool_hba is on but pool_hba_file is not set\n"
        "0: error: there is no backend: set backend_hostname0\n");
}

void a_value_that_was_refused_is_not_also_missing(void **) {
    const ConfigLoad load = load_conf("backend_hostname0 = 'a b'\n"
                                      "backend_port0 = 1\n"
                                      "backend_hostname1\n"
                                      "pool_passwd = 'x\\n'\n"
                                      "health_check_user = 'h\n");
    assert_string_equal(problems_of(load).c_str(),
                        "1: error: backend_hostname0: \"a b\" is neither a host name nor an address\n"
                        "3: error: parameter \"backend_hostname1\" has no value; an empty one is written ''\n"
                        "4: error: pool_passwd: \"x?\" contains a control character\n"
                        "5: error: the quoted value of \"health_check_user\" does not end on this line\n");
    const ConfigLoad only = load_conf("backend_hostname0 = 'db\nhealth_check_user = h\npool_passwd = p\n");
    assert_string_equal(problems_of(only).c_str(),
                        "1: error: the quoted value of \"backend_hostname0\" does not end on this line\n");
}

void the_form_of_a_message(void **) {
    const std::string at_line =
        to_string(ConfigProblem{.file = "f.conf", .line = 7, .message = "text", .severity = ConfigSeverity::error});
    const std::string whole_file =
        to_string(ConfigProblem{.file = "f.conf", .line = 0, .message = "text", .severity = ConfigSeverity::warning});
    assert_string_equal(at_line.c_str(), "f.conf:7: error: text");
    assert_string_equal(whole_file.c_str(), "f.conf: warning: text");
}

void values_arrive(void **) {
    const ConfigLoad load = load_after_least("listen_addresses = '*, ::1'\n"
                                             "PORT 6432\n"
                                             "backend_hostname3 = '/var/run/postgresql'\n"
                                             "backend_port3 = 5433\n"
                                             "backend_weight3 = 0.25\n"
                                             "backend_flag3 = 'DISALLOW_TO_FAILOVER|ALWAYS_PRIMARY'\n"
                                             "backend_application_name3 = 'third'\n"
                                             "backend_data_directory3 = '/data'\n"
                                             "backend_hostname1 = 'b'\n"
                                             "health_check_period = 250ms\n"
                                             "connect_timeout = 300\n"
                                             "client_idle_limit = 300\n"
                                             "database_pool_mode = 'a:session'\n"
                                             "user_pool_mode = 'batch:session, web:transaction'\n"
                                             "health_check_password = 'it''s # secret'\n"
                                             "log_destination = syslog\n");
    const std::string problems = problems_of(load);
    assert_string_equal(problems.c_str(), "");
    const Config config = load.config.value_or(Config{});
    const bool addresses = config.listen_addresses == std::vector<std::string>{"*", "::1"};
    assert_true(addresses);
    assert_int_equal(config.port, 6432);
    assert_int_equal(config.backends.size(), 3);
    assert_int_equal(config.backends[1].id, 1);
    assert_string_equal(config.backends[1].application_name.c_str(), "server1");
    assert_int_equal(config.backends[1].port, 5432);
    const BackendConfig &third = config.backends[2];
    assert_int_equal(third.id, 3);
    assert_string_equal(third.hostname.c_str(), "/var/run/postgresql");
    assert_int_equal(third.port, 5433);
    assert_true(third.weight == 0.25);
    assert_false(third.allow_to_failover);
    assert_true(third.always_primary);
    assert_string_equal(third.application_name.c_str(), "third");
    assert_string_equal(third.data_directory.c_str(), "/data");
    assert_int_equal(config.health_check_period.count(), 250);
    assert_int_equal(config.connect_timeout.count(), 300);
    assert_int_equal(config.client_idle_limit.count(), 300'000);
    assert_string_equal(config.health_check_password.c_str(), "it's # secret");
    assert_true(config.log_destination == LogDestination::syslog);
    assert_true(config.pool_mode_for("a", "x") == PoolMode::session);
    assert_true(config.pool_mode_for("A", "x") == PoolMode::transaction);
    assert_true(config.pool_mode_for("b", "batch") == PoolMode::session);
    assert_true(config.pool_mode_for("a", "web") == PoolMode::transaction);
}

void patterns_keep_their_backslashes(void **) {
    const ConfigLoad load = load_after_least("primary_routing_query_pattern_list = 'SELECT \\'a\\'\\;;a\\.b\\\\;c''d'\n"
                                             "read_only_function_list = 's\\.f'\n"
                                             "user_redirect_preference_list = 'a\\.b:standby(0.5)'\n");
    assert_string_equal(problems_of(load).c_str(), "");
    const Config &config = load.config.value();
    const bool queries =
        config.primary_routing_query_pattern_list == std::vector<std::string>{"SELECT 'a';", "a\\.b\\\\", "c'd"};
    const bool names = config.read_only_function_list == std::vector<std::string>{"s\\.f"};
    const bool redirects = config.user_redirect_preference_list ==
                           std::vector<RedirectEntry>{
                               {.pattern = "a\\.b", .kind = RedirectEntry::Kind::standby, .node_id = 0, .ratio = 0.5}};
    assert_true(queries);
    assert_true(names);
    assert_true(redirects);
    const ConfigLoad yaml = load_yaml("backend_hostname0: db\nhealth_check_user: h\npool_passwd: p\n"
                                      "read_only_function_list: ['s\\.f', 'a{1,2}']\n"
                                      "app_name_redirect_preference_list: {'a\\.b': standby(0.5), c: 0}\n");
    assert_string_equal(problems_of(yaml).c_str(), "");
    const bool sequence = yaml.config->read_only_function_list == std::vector<std::string>{"s\\.f", "a{1,2}"};
    const size_t mapping = yaml.config->app_name_redirect_preference_list.size();
    assert_true(sequence);
    assert_int_equal(mapping, 2);
}

void the_last_of_several_wins(void **) {
    const ConfigLoad load = load_after_least("port = 1000\nPort = 2000\nport = 3000\n");
    assert_string_equal(problems_of(load).c_str(), "5: warning: port is set again; line 4 has no effect\n"
                                                   "6: warning: port is set again; line 5 has no effect\n");
    assert_true(load.config.has_value());
    assert_int_equal(load.config->port, 3000);
}

void relative_paths_start_from_the_file(void **) {
    const ConfigLoad load = load_after_least("pid_file_name = 'run/x.pid'\n"
                                             "work_dir = '../lib/'\n"
                                             "log_file = '/var/log/x'\n"
                                             "unix_socket_directories = 'sockets, /tmp'\n");
    assert_true(load.config.has_value());
    const Config &config = *load.config;
    assert_string_equal(config.pool_passwd.c_str(), "/etc/pgbalancer/p");
    assert_string_equal(config.pid_file_name.c_str(), "/etc/pgbalancer/run/x.pid");
    assert_string_equal(config.work_dir.c_str(), "/etc/lib/");
    assert_string_equal(config.log_file.c_str(), "/var/log/x");
    const bool directories =
        config.unix_socket_directories == std::vector<std::string>{"/etc/pgbalancer/sockets", "/tmp"};
    assert_true(directories);
}

void a_relative_file_is_made_absolute(void **) {
    const ConfigLoad load = load_config_text(kLeast, "conf/../x.conf");
    const std::string here = std::filesystem::current_path().string();
    assert_true(load.config.has_value());
    assert_string_equal(load.config->source_path.c_str(), (here + "/x.conf").c_str());
    assert_string_equal(load.config->pool_passwd.c_str(), (here + "/p").c_str());
}

void parameters_that_do_not_fit_together(void **) {
    struct Case {
        const char *text; // from line 4 on
        const char *problems;
    };
    const Case cases[] = {
        {"", ""},
        {"backend_hostname1 = ''", ""},
        {"backend_hostname1 = ''\nbackend_weight1 = 2",
         "5: error: backend_weight1 is set but backend_hostname1 is not\n"},
        {"backend_hostname1 = 'db'", "4: warning: nodes 0 and 1 are the same server\n"},
        {"backend_hostname1 = 'db'\nbackend_port1 = 5433", ""},
        {"backend_flag0 = 'ALWAYS_PRIMARY'\nbackend_hostname1 = 'b'\nbackend_flag1 = 'ALWAYS_PRIMARY'",
         "6: error: node 0 is ALWAYS_PRIMARY already\n"},
        {"listen_addresses = ''", ""},
        {"unix_socket_directories = ''", ""},
        {"listen_addresses = ''\nunix_socket_directories = ''",
         "5: error: nobody could connect: listen_addresses and unix_socket_directories are both empty\n"},
        {"client_auth_method = trust", ""},
        {"client_auth_method = trust\nlisten_addresses = '127.0.0.2, ::1, localhost'", ""},
        {"client_auth_method = trust\nlisten_addresses = '*'",
         "4: warning: client_auth_method is trust, so clients from other machines are refused unless "
         "allow_trust_remote is on\n"},
        {"client_auth_method = trust\nlisten_addresses = 'localhost, 192.0.2.1'\nallow_trust_remote = on",
         "4: warning: anyone who reaches listen_addresses can be any user: client_auth_method is trust and "
         "allow_trust_remote is on\n"},
        {"enable_pool_hba = on\npool_hba_file = x\nclient_auth_method = trust\nlisten_addresses = '*'", ""},
        {"pool_passwd = ''", "4: warning: pool_passwd is set again; line 3 has no effect\n"
                             "0: warning: no client can log in: client_auth_method needs the secrets in pool_passwd, "
                             "which is not set\n"},
        {"client_auth_method = md5\npool_passwd = ''",
         "4: warning: no client can log in: client_auth_method needs the secrets in pool_passwd, which is not set\n"
         "5: warning: pool_passwd is set again; line 3 has no effect\n"},
        {"sr_check_password = x", "4: warning: sr_check_password is not used without sr_check_user\n"},
        {"sr_check_password = x\nsr_check_user = y", ""},
        {"log_destination = file", "4: error: log_destination is file but log_file is not set\n"},
        {"log_destination = file\nlog_file = x", ""},
        {"log_file = x", "4: warning: log_file is not used unless log_destination is file\n"},
        {"backend_hostname7 = 'b'\nuser_redirect_preference_list = 'a:0, b:7'", ""},
        {"database_redirect_preference_list = 'a:0'\napp_name_redirect_preference_list = 'b:7, c:8(0.5), d:standby'",
         "5: error: app_name_redirect_preference_list: there is no node 7\n"
         "5: error: app_name_redirect_preference_list: there is no node 8\n"},
        {"write_function_list = 'f, (g'",
         "4: error: write_function_list: \"f, (g\" has \"(g\", which is no regular expression: Unmatched ( or \\(\n"},
        {"primary_routing_query_pattern_list = 'SELECT \\'a\\'\\;;SELECT \\* FROM t1\\;;.*t2\\.x.*'", ""},
        {"delay_threshold = 1MB\nsr_check_period = 200ms", ""},
        {"sr_check_period = 0\ndelay_threshold = 1MB",
         "5: warning: no standby gets reads: delay_threshold is set, but with sr_check_period = 0 no delay is known\n"},
        {"delay_threshold_by_time = 10s\nsr_check_period = 0",
         "4: warning: no standby gets reads: delay_threshold_by_time is set, but with sr_check_period = 0 no delay is "
         "known\n"},
    };
    for (const Case &c : cases) {
        const ConfigLoad load = load_after_least(c.text);
        const std::string problems = problems_of(load);
        const bool loaded = load.config.has_value();
        assert_string_equal(problems.c_str(), c.problems);
        assert_int_equal(loaded, problems.find("error") == std::string::npos);
    }
}

void an_empty_file_lacks_a_backend(void **) {
    const ConfigLoad load = load_conf("");
    assert_false(load.config.has_value());
    assert_string_equal(problems_of(load).c_str(),
                        "0: error: there is no backend: set backend_hostname0\n"
                        "0: warning: no client can log in: client_auth_method needs the secrets in pool_passwd, which "
                        "is not set\n"
                        "0: warning: health_check_user is not set: the servers are checked as the operating system "
                        "user pgbalancer runs as\n");
}

void backends_may_be_many_and_in_any_order(void **) {
    std::string text{kLeast};
    for (int id = 127; id > 0; id -= 2) {
        text += "backend_hostname" + std::to_string(id) + " = 'db" + std::to_string(id) + "'\n";
    }
    const ConfigLoad load = load_conf(text);
    assert_true(load.config.has_value());
    const auto &backends = load.config->backends;
    const bool ascending = std::ranges::is_sorted(backends, {}, &BackendConfig::id);
    assert_int_equal(backends.size(), 65);
    assert_true(ascending);
    assert_int_equal(backends.back().id, 127);
}

void a_text_too_large_is_refused(void **) {
    const std::string large(256 * 1024 + 1, '\n');
    const ConfigLoad load = load_conf(large),
                     largest = load_conf(std::string(kLeast) + large.substr(kLeast.size() + 1));
    assert_string_equal(problems_of(load).c_str(), "0: error: the file is larger than 262144 bytes\n");
    assert_true(largest.config.has_value());
}

void files_are_read(void **) {
    const TempDirectory directory;
    directory.write("p", "user:md5\n");
    const std::string conf = directory.write("a.conf", kLeast);
    const std::string yaml = directory.write("a.YML", "backend_hostname0: db\nhealth_check_user: h\npool_passwd: p\n");
    const ConfigLoad from_conf = load_config_file(conf), from_yaml = load_config_file(yaml);
    assert_string_equal(problems_of(from_conf).c_str(), "");
    assert_string_equal(problems_of(from_yaml).c_str(), "");
    assert_true(from_conf.text == kLeast);
    assert_true(from_conf.config.has_value());
    assert_string_equal(from_conf.config->source_path.c_str(), conf.c_str());
    assert_string_equal(from_conf.config->pool_passwd.c_str(), (directory.path() + "/p").c_str());
    const ConfigLoad again = load_config_text(from_conf.text, conf);
    const bool nothing_changed = again.config && changed_parameters(*from_conf.config, *again.config).empty();
    assert_true(nothing_changed);
}

void files_that_cannot_be_read(void **) {
    const TempDirectory directory;
    const std::string fifo = directory.path() + "/fifo";
    const int made = mkfifo(fifo.c_str(), 0600);
    const std::string conf = directory.write("a.conf", "backend_hostname0 = db\nhealth_check_user = h\n"
                                                       "pool_passwd = 'missing'\npool_hba_file = 'fifo'\n");
    const std::string in_directory = directory.path() + "/";
    const std::string problems = without(problems_of(load_config_file(conf)), in_directory);
    const std::string missing = problems_of(load_config_file(in_directory + "none.conf"));
    const std::string not_regular = problems_of(load_config_file(fifo));
    const std::string is_directory = problems_of(load_config_file(directory.path()));
    assert_int_equal(made, 0);
    assert_string_equal(problems.c_str(),
                        "3: error: pool_passwd: \"missing\" cannot be read: No such file or directory\n"
                        "4: error: pool_hba_file: \"fifo\" is not a regular file\n");
    assert_string_equal(missing.c_str(), "0: error: cannot read the file: No such file or directory\n");
    assert_string_equal(not_regular.c_str(), "0: error: not a regular file\n");
    assert_string_equal(is_directory.c_str(), "0: error: not a regular file\n");
    // The text alone is judged without looking at files.
    const ConfigLoad text_only =
        load_config_text("backend_hostname0 = db\nhealth_check_user = h\npool_passwd = 'missing'\n", conf);
    assert_string_equal(problems_of(text_only).c_str(), "");
}

void a_password_everyone_can_read_is_mentioned(void **) {
    const TempDirectory directory;
    directory.write("p", "");
    const std::string text = std::string(kLeast) + "health_check_password = x\n";
    const std::string open = problems_of(load_config_file(directory.write("open.conf", text, 0644)));
    const std::string closed = problems_of(load_config_file(directory.write("closed.conf", text, 0640)));
    const std::string no_secret = problems_of(load_config_file(directory.write("none.conf", kLeast, 0644)));
    assert_string_equal(open.c_str(), "0: warning: this file holds a password and can be read by everyone\n");
    assert_string_equal(closed.c_str(), "");
    assert_string_equal(no_secret.c_str(), "");
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(all_errors_are_reported_at_once),
        cmocka_unit_test(a_value_that_was_refused_is_not_also_missing),
        cmocka_unit_test(the_form_of_a_message),
        cmocka_unit_test(values_arrive),
        cmocka_unit_test(patterns_keep_their_backslashes),
        cmocka_unit_test(the_last_of_several_wins),
        cmocka_unit_test(relative_paths_start_from_the_file),
        cmocka_unit_test(a_relative_file_is_made_absolute),
        cmocka_unit_test(parameters_that_do_not_fit_together),
        cmocka_unit_test(an_empty_file_lacks_a_backend),
        cmocka_unit_test(backends_may_be_many_and_in_any_order),
        cmocka_unit_test(a_text_too_large_is_refused),
        cmocka_unit_test(files_are_read),
        cmocka_unit_test(files_that_cannot_be_read),
        cmocka_unit_test(a_password_everyone_can_read_is_mentioned),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
