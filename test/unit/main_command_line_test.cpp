// What the program understands of its arguments.
#include "main/command_line.h"

#include <vector>

#include "unit/cmocka_cpp.h"

namespace {

using namespace pgbalancer;
using namespace std::chrono_literals;

Result<CommandLine> parse(std::vector<const char *> arguments) {
    arguments.insert(arguments.begin(), "pgbalancer");
    return parse_command_line(arguments);
}

void nothing_said_means_serve_as_a_daemon(void **) {
    const auto line = parse({});
    assert_true(static_cast<bool>(line));
    assert_true(line->command == Command::serve && !line->foreground);
    assert_string_equal(line->config_file.c_str(), "/etc/pgbalancer/pgbalancer.conf");
}

void options_and_commands_in_any_order(void **) {
    const auto first = parse({"-f", "a.conf", "stop", "-m", "fast", "-t", "5"});
    const auto second = parse({"stop", "-mi", "--config-file=b.conf"});
    const auto third = parse({"-nf", "c.conf"});
    assert_true(first && second && third);
    assert_true(first->command == Command::stop && first->stop_mode == ShutDownMode::fast && first->stop_timeout == 5s);
    assert_string_equal(first->config_file.c_str(), "a.conf");
    assert_true(second->command == Command::stop && second->stop_mode == ShutDownMode::immediate);
    assert_string_equal(second->config_file.c_str(), "b.conf");
    assert_true(third->command == Command::serve && third->foreground);
}

void every_command_has_its_word(void **) {
    const std::pair<const char *, Command> words[] = {{"stop", Command::stop},
                                                      {"reload", Command::reload},
                                                      {"status", Command::status},
                                                      {"check", Command::check},
                                                      {"--version", Command::version},
                                                      {"--help", Command::help},
                                                      {"-V", Command::version},
                                                      {"-h", Command::help},
                                                      {"--print-sample-config", Command::print_sample},
                                                      {"--print-config-manual", Command::print_manual}};
    for (const auto &[word, command] : words) {
        const auto line = parse({word});
        if (!line || line->command != command) {
            fail_msg("%s", word);
        }
    }
}

void what_makes_no_sense_is_refused(void **) {
    const std::vector<const char *> cases[] = {{"start"},
                                               {"-x"},
                                               {"--no-such"},
                                               {"-f"},
                                               {"stop", "-m", "slow"},
                                               {"stop", "reload"},
                                               {"-m", "fast"},
                                               {"reload", "-t", "3"},
                                               {"stop", "-t", "-1"},
                                               {"stop", "-t", "1x"},
                                               {"stop", "-t", ""},
                                               {"status", "-n"}};
    for (const auto &arguments : cases) {
        const auto line = parse(arguments);
        if (line || line.error().message.empty()) {
            fail_msg("%s %s", arguments[0], arguments.size() > 1 ? arguments[1] : "");
        }
    }
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(nothing_said_means_serve_as_a_daemon),
        cmocka_unit_test(options_and_commands_in_any_order),
        cmocka_unit_test(every_command_has_its_word),
        cmocka_unit_test(what_makes_no_sense_is_refused),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
