// The generated texts: the sample loads, and with every comment sign taken away it still says the defaults.
#include "config/conf_reader.h"
#include "config/parameter_lookup.h"
#include "config/parameter_table.h"
#include "unit/config_text.h"

#include <cstdio>
#include <cstdlib>
#include <functional>

#include "unit/cmocka_cpp.h"

namespace {

using namespace pgbalancer;
using namespace pgbalancer::test;

std::string printed(void (*print)(std::FILE *)) {
    char *data = nullptr;
    size_t size = 0;
    std::FILE *out = open_memstream(&data, &size);
    print(out);
    std::fclose(out);
    std::string text(data, size);
    std::free(data);
    return text;
}

void for_each_line(std::string_view text, const std::function<void(std::string_view)> &line_read) {
    while (!text.empty()) {
        const size_t end = std::min(text.find('\n'), text.size());
        line_read(text.substr(0, end));
        text.remove_prefix(std::min(end + 1, text.size()));
    }
}

void the_sample_starts_as_it_is(void **) {
    const ConfigLoad load = load_conf(printed(print_sample));
    const ConfigLoad least = load_conf("backend_hostname0 = localhost\n");
    assert_true(load.config.has_value());
    assert_string_equal(problems_of(load).c_str(), problems_of(least).c_str());
    assert_true(changed_parameters(*load.config, *least.config).empty());
}

void the_sample_shows_the_defaults_of_all_parameters(void **) {
    std::string text;
    size_t settings = 0;
    for_each_line(printed(print_sample), [&](std::string_view line) {
        const bool comment = line.starts_with("# ") || line == "#";
        if (!line.empty() && !comment) {
            text += std::string(line.substr(line[0] == '#' ? 1 : 0)) + "\n";
            settings++;
        }
    });
    const ConfigLoad load = load_conf(text);
    const ConfigLoad least = load_conf("backend_hostname0 = localhost\n");
    assert_int_equal(settings, parameter_table().size());
    assert_true(load.config.has_value());
    assert_true(changed_parameters(*load.config, *least.config).empty());
}

void lines_are_not_too_long_and_have_no_space_at_the_end(void **) {
    for (auto *print : {print_sample, print_manual}) {
        for_each_line(printed(print), [](std::string_view line) {
            if (line.size() > 180 || line.ends_with(' ')) {
                fail_msg("%s", std::string(line).c_str());
            }
        });
    }
}

void the_manual_has_every_parameter_and_section(void **) {
    const std::string manual = printed(print_manual);
    for (const Parameter &parameter : parameter_table()) {
        const std::string heading = "\n### `" + std::string(parameter.name) + (parameter.per_node() ? "N" : "") + "`\n";
        const std::string section = "\n## " + std::string(section_title(parameter.section)) + "\n";
        const bool has_heading = manual.find(heading) != std::string::npos;
        const bool has_section = manual.find(section) < manual.find(heading);
        assert_true(has_heading);
        assert_true(has_section);
    }
}

// The example in the manual is one.
void the_yaml_of_the_manual_loads(void **) {
    const std::string manual = printed(print_manual);
    const size_t start = manual.find("```yaml\n") + 8;
    const ConfigLoad load = load_yaml(manual.substr(start, manual.find("```", start) - start));
    const bool loaded = load.config.has_value();
    assert_true(loaded);
    assert_int_equal(load.config->backends.size(), 2);
    assert_int_equal(load.config->backends[1].id, 7);
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(the_sample_starts_as_it_is),
        cmocka_unit_test(the_sample_shows_the_defaults_of_all_parameters),
        cmocka_unit_test(lines_are_not_too_long_and_have_no_space_at_the_end),
        cmocka_unit_test(the_manual_has_every_parameter_and_section),
        cmocka_unit_test(the_yaml_of_the_manual_loads),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
