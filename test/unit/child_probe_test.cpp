// The probe: what its rows mean, and that nothing else is taken for one.
#include "child/probe.h"
#include "child/wire.h"
#include "shm/layout.h"

#include <optional>
#include <set>
#include <vector>

#include "unit/cmocka_cpp.h"

namespace {

using namespace pgbalancer;
using namespace std::literals;

std::string row(const std::vector<std::optional<std::string_view>> &columns) {
    std::string message;
    MessageWriter w(message);
    w.begin('D').u16(static_cast<uint16_t>(columns.size()));
    for (const auto &column : columns) {
        w.u32(column ? static_cast<uint32_t>(column->size()) : UINT32_MAX).bytes(column.value_or(""));
    }
    w.end();
    return message.substr(kHeaderBytes);
}

bool read(const std::string &bytes, ProbeResult &result) {
    const std::vector<char> exact(bytes.begin(), bytes.end()); // nothing readable behind it
    return read_probe_row({exact.data(), exact.size()}, result);
}

void rows_say_why_a_session_is_tied(void **) {
    const std::pair<std::string_view, uint16_t> cases[] = {
        {"listen", kPinnedByListen},    {"temp", kPinnedByTempObject},       {"cursor", kPinnedByHoldCursor},
        {"prepared", kPinnedByPrepare}, {"advisory", kPinnedByAdvisoryLock}, {"role", kPinnedBySetting},
    };
    ProbeResult all;
    uint16_t expected = 0;
    for (const auto &[kind, reason] : cases) {
        ProbeResult one;
        const bool taken = read(row({kind, "", ""}), one) && read(row({kind, "", ""}), all);
        expected |= reason;
        assert_true(taken);
        assert_int_equal(one.reasons, reason);
        assert_int_equal(one.reasons & ~kProbedReasons, 0); // a later probe can find it gone
        assert_true(one.settings.empty());
        assert_int_equal(all.reasons, expected);
    }
}

void rows_say_what_is_set(void **) {
    struct Case {
        std::string_view name, value;
        const char *key;
        const char *statement;
    };
    const Case cases[] = {
        {"work_mem", "64kB", "work_mem", "SELECT pg_catalog.set_config('work_mem', '64kB', false)"},
        {"DateStyle", "ISO, MDY", "datestyle", "SELECT pg_catalog.set_config('DateStyle', 'ISO, MDY', false)"},
        {"app.user", "O'Neil", "app.user", "SELECT pg_catalog.set_config('app.user', 'O''Neil', false)"},
        {"search_path", "", "search_path", "SELECT pg_catalog.set_config('search_path', '', false)"},
    };
    for (const Case &c : cases) {
        ProbeResult result;
        const bool taken = read(row({"setting", c.name, c.value}), result);
        const ParameterSet::Entry entry = result.settings.empty() ? ParameterSet::Entry{} : result.settings[0];
        assert_true(taken);
        assert_int_equal(result.reasons, kNotPinned);
        assert_int_equal(result.settings.size(), 1);
        assert_string_equal(entry.name.c_str(), c.key);
        assert_string_equal(entry.value.c_str(), c.statement);
    }
}

void other_rows_are_refused(void **) {
    const std::string cases[] = {
        row({}),
        row({"listen"}),
        row({"listen", ""}),
        row({"listen", "", "", ""}),
        row({"", "", ""}),
        row({"Listen", "", ""}),
        row({"settings", "a", "b"}),
        row({std::nullopt, "", ""}),
        row({"setting", std::nullopt, "b"}),
        row({"setting", "a", std::nullopt}),
        "\0\3\0\0\0\6listen\xff\xff\xff\xfe\0\0\0\0"s,
        "\0\3\0\0\0\6listen\x7f\xff\xff\xff\0\0\0\0"s,
    };
    for (const std::string &bytes : cases) {
        ProbeResult result;
        const bool taken = read(bytes, result);
        assert_false(taken);
        assert_int_equal(result.reasons, kNotPinned);
        assert_true(result.settings.empty());
    }
}

void no_row_cut_short_is_taken(void **) {
    const std::string whole = row({"setting", "app.user", "bob"});
    ProbeResult result;
    size_t taken = 0;
    for (size_t size = 0; size < whole.size(); size++) {
        taken += read(whole.substr(0, size), result) ? 1 : 0;
    }
    const bool nothing_kept = result.settings.empty();
    const bool whole_taken = read(whole, result);
    assert_int_equal(taken, 0);
    assert_true(nothing_kept);
    assert_true(whole_taken);
}

void every_reason_has_a_text_that_fits(void **) {
    std::set<std::string_view> texts;
    size_t cut = 0;
    for (uint16_t bit = kPinnedByMode; bit <= kPinnedByUnknown; bit <<= 1U) {
        const std::string_view text = pin_reason_text(bit);
        decltype(ConnectionInfo::pinned_reason) shown;
        shown.set(text);
        cut += shown.view() == text ? 0 : 1;
        texts.insert(text);
    }
    assert_int_equal(cut, 0);
    assert_int_equal(texts.size(), 11);
    assert_int_equal(texts.count(""), 0);
    assert_true(pin_reason_text(kNotPinned).empty());
    assert_true(pin_reason_text(kPinnedByUnknown | kPinnedByListen | kPinnedBySequence) == "listen");
}

void custom_settings_are_asked_by_name(void **) {
    const std::string plain = probe_query({});
    const std::string asked = probe_query({"app.user", "x.it's\\"});
    const auto mentions = [&asked](std::string_view what) { return asked.find(what) != std::string::npos; };
    const bool starts_alike = asked.starts_with(plain);
    const bool first = mentions("SELECT 'setting', 'app.user', pg_catalog.current_setting('app.user', true)");
    const bool second = mentions("current_setting(E'x.it''s\\\\', true) OPERATOR(pg_catalog.<>) ''");
    assert_true(starts_alike);
    assert_true(first);
    assert_true(second);
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(rows_say_why_a_session_is_tied),
        cmocka_unit_test(rows_say_what_is_set),
        cmocka_unit_test(other_rows_are_refused),
        cmocka_unit_test(no_row_cut_short_is_taken),
        cmocka_unit_test(every_reason_has_a_text_that_fits),
        cmocka_unit_test(custom_settings_are_asked_by_name),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
