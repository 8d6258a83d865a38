// The `key = value` syntax: what is a setting, what is refused, quoting there and back.
#include "config/conf_reader.h"

#include "unit/cmocka_cpp.h"

namespace {

using namespace pgbalancer;

struct Reading {
    std::string settings; // "line name=<value>" each
    std::string problems; // "line message" each
};

Reading read(std::string_view text) {
    ProblemList list("f");
    Reading reading;
    for (const Setting &setting : read_conf(text, list).list) {
        const bool readable = setting.shape == ValueShape::single;
        reading.settings += std::to_string(setting.line) + " " + setting.name;
        reading.settings += readable ? "=<" + setting.value + ">\n" : " unreadable" + setting.value + "\n";
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
        {"\n\n  \n\t# port = 1\n", ""},
        {"port = 9999", "1 port=<9999>\n"},
        {"port=9999\n", "1 port=<9999>\n"},
        {"port 9999\n", "1 port=<9999>\n"},
        {"  port\t=\t9999  \t# comment", "1 port=<9999>\n"},
        {"port = 9999#comment", "1 port=<9999>\n"},
        {"\r\nport = 9999\r\nmax_pool = 3\r\n", "2 port=<9999>\n3 max_pool=<3>\n"},
        {"\xef\xbb\xbfport = 1", "1 port=<1>\n"},
        {"port = 1\nport = 2", "1 port=<1>\n2 port=<2>\n"},
        {"a = ''", "1 a=<>\n"},
        {"a = 'it''s # here' # there", "1 a=<it's # here>\n"},
        {"a = 'it\\'s'", "1 a=<it's>\n"},
        {"a = '\\\\'", "1 a=<\\>\n"},
        {"a = 'x\\q'", "1 a=<xq>\n"},
        {"a = '\\t\\101\\0601'", "1 a=<\tA01>\n"},
        {"a = '\\7'", "1 a=<\a>\n"},
        {"a = /tmp,*:1", "1 a=</tmp,*:1>\n"},
        {"_A9 = -1.5e3", "1 _A9=<-1.5e3>\n"},
        {"a = 'caf\xc3\xa9'", "1 a=<caf\xc3\xa9>\n"},
        {"a = '=' ", "1 a=<=>\n"},
        {"a '=='", "1 a=<==>\n"},
        {"a'x'", "1 a=<x>\n"},
        {"a = \"x\"", "1 a=<\"x\">\n"},
    };
    for (const Case &c : cases) {
        const Reading reading = read(c.text);
        assert_string_equal(reading.settings.c_str(), c.settings);
        assert_string_equal(reading.problems.c_str(), "");
    }
}

void bad_lines_are_reported_and_the_rest_is_read(void **) {
    const Reading reading = read("= 1\n"
                                 "9port = 1\n"
                                 "port\n"
                                 "port =   # nothing\n"
                                 "port = 1 2\n"
                                 "port = '1' '2'\n"
                                 "port = 1'2'\n"
                                 "password = 'secret\n"
                                 "password = 'secret\\\n"
                                 "password = sec'ret'\n"
                                 "pool-mode = session\n"
                                 "max_pool = 3\n");
    const char *problems = "1 \"\" is not a parameter name\n"
                           "2 \"9port\" is not a parameter name\n"
                           "3 parameter \"port\" has no value; an empty one is written ''\n"
                           "4 parameter \"port\" has no value; an empty one is written ''\n"
                           "5 unexpected text after the value of \"port\"; a value with spaces, quotes or # is written "
                           "in single quotes\n"
                           "6 unexpected text after the value of \"port\"; a value with spaces, quotes or # is written "
                           "in single quotes\n"
                           "7 unexpected text after the value of \"port\"; a value with spaces, quotes or # is written "
                           "in single quotes\n"
                           "8 the quoted value of \"password\" does not end on this line\n"
                           "9 the quoted value of \"password\" does not end on this line\n"
                           "10 unexpected text after the value of \"password\"; a value with spaces, quotes or # is "
                           "written in single quotes\n"
                           "11 \"pool-mode\" is not a parameter name\n";
    assert_string_equal(reading.problems.c_str(), problems);
    assert_string_equal(reading.settings.c_str(), "3 port unreadable\n"
                                                  "4 port unreadable\n"
                                                  "5 port unreadable\n"
                                                  "6 port unreadable\n"
                                                  "7 port unreadable\n"
                                                  "8 password unreadable\n"
                                                  "9 password unreadable\n"
                                                  "10 password unreadable\n"
                                                  "12 max_pool=<3>\n");
}

void terminals_are_not_written_to_by_a_file(void **) {
    const Reading reading = read("\x1b[2J\x07");
    assert_string_equal(reading.problems.c_str(), "1 \"?[2J?\" is not a parameter name\n");
}

void problems_are_bounded(void **) {
    std::string text;
    for (int i = 0; i < 5000; i++) {
        text += "?\n";
    }
    ProblemList list("f");
    (void)read_conf(text, list);
    const std::vector<ConfigProblem> problems = list.take();
    assert_int_equal(problems.size(), 201);
    assert_string_equal(problems.back().message.c_str(), "4800 further problems are not shown");
}

void quoted_values_come_back(void **) {
    for (const std::string_view value : {"", "plain", "it's", "'", "''", "\\", "\\'", "a\\nb", "# no comment", "  "}) {
        const Reading reading = read("a = " + conf_quoted(value) + " # comment");
        const std::string expected = "1 a=<" + std::string(value) + ">\n";
        assert_string_equal(reading.settings.c_str(), expected.c_str());
    }
}

// What a parameter that keeps its backslashes takes, or "-".
void quoted_values_are_also_kept_verbatim(void **) {
    struct Case {
        const char *line;
        const char *verbatim;
    };
    const Case cases[] = {
        {"a = plain", "-"},
        {"a = ''", ""},
        {"a = 'a\\.b\\;c\\'d''e'", "a\\.b\\;c\\'d'e"},
        {"a = '\\101\\n\\\\'", "\\101\\n\\\\"},
    };
    for (const Case &c : cases) {
        ProblemList problems("f");
        const Settings settings = read_conf(c.line, problems);
        const std::string found = settings.list.at(0).verbatim.value_or("-");
        assert_string_equal(found.c_str(), c.verbatim);
    }
    for (const std::string_view value : {"", "a\\.b", "it's", "\\\\"}) {
        ProblemList problems("f");
        const Settings settings = read_conf("a = " + conf_quoted(value, Backslashes::keep), problems);
        const std::string found = settings.list.at(0).verbatim.value_or("-");
        assert_string_equal(found.c_str(), std::string(value).c_str());
    }
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(settings_are_read),
        cmocka_unit_test(bad_lines_are_reported_and_the_rest_is_read),
        cmocka_unit_test(terminals_are_not_written_to_by_a_file),
        cmocka_unit_test(problems_are_bounded),
        cmocka_unit_test(quoted_values_come_back),
        cmocka_unit_test(quoted_values_are_also_kept_verbatim),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
