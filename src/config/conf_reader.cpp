#include "config/conf_reader.h"

#include "config/words.h"

#include <algorithm>
#include <optional>

namespace pgbalancer {

namespace {

bool is_name(std::string_view text) {
    const auto letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; };
    const auto digit = [](char c) { return c >= '0' && c <= '9'; };
    return !text.empty() && letter(text[0]) && std::ranges::all_of(text, [&](char c) { return letter(c) || digit(c); });
}

bool is_octal_digit(char c) { return c >= '0' && c <= '7'; }

// Reads one line. The first complaint ends it.
class LineReader {
  public:
    explicit LineReader(std::string_view line) : rest_(line) {}

    bool at_end() {
        skip_space();
        return rest_.empty() || rest_[0] == '#';
    }

    // What stands in the place of a name.
    std::string_view name() { return take_until(" \t\r\f\v#'="); }

    void skip_equals_sign() {
        skip_space();
        if (rest_.starts_with('=')) {
            rest_.remove_prefix(1);
        }
    }

    // Nothing when a quote is not closed. `verbatim` becomes a quoted one's text, of which only '' is one quote.
    std::optional<std::string> value(std::optional<std::string> &verbatim) {
        if (rest_.starts_with('\'')) {
            rest_.remove_prefix(1);
            verbatim.emplace();
            return quoted(*verbatim);
        }
        return std::string(take_until(" \t\r\f\v#'"));
    }

  private:
    void skip_space() {
        while (!rest_.empty() && is_space(rest_[0])) {
            rest_.remove_prefix(1);
        }
    }

    std::string_view take(size_t length) {
        const std::string_view taken = rest_.substr(0, length);
        rest_.remove_prefix(length);
        return taken;
    }
    std::string_view take_until(std::string_view stops) {
        return take(std::min(rest_.find_first_of(stops), rest_.size()));
    }

    std::optional<std::string> quoted(std::string &verbatim) {
        std::string value;
        while (!rest_.empty()) {
            const char c = take(1)[0];
            if (c == '\'') {
                if (!rest_.starts_with('\'')) {
                    return value;
                }
                value += take(1);
                verbatim += c;
            } else if (c != '\\') {
                value += c;
                verbatim += c;
            } else if (rest_.empty()) {
                return std::nullopt;
            } else {
                const std::string_view before = rest_;
                value += escaped();
                verbatim += c;
                verbatim += before.substr(0, before.size() - rest_.size());
            }
        }
        return std::nullopt;
    }

    char escaped() {
        if (is_octal_digit(rest_[0])) {
            unsigned code = 0;
            for (int digits = 0; digits < 3 && !rest_.empty() && is_octal_digit(rest_[0]); digits++) {
                code = code * 8 + static_cast<unsigned>(take(1)[0] - '0');
            }
            return static_cast<char>(code);
        }
        switch (const char c = take(1)[0]) {
        case 'b': return '\b';
        case 'f': return '\f';
        case 'n': return '\n';
        case 'r': return '\r';
        case 't': return '\t';
        default: return c;
        }
    }

    std::string_view rest_;
};

void read_line(std::string_view line, int number, std::vector<Setting> &settings, ProblemList &problems) {
    LineReader reader(line);
    if (reader.at_end()) {
        return;
    }
    const std::string_view name = reader.name();
    if (!is_name(name)) { // what follows may be a secret
        problems.error(number, "\"" + printable(name) + "\" is not a parameter name");
        return;
    }
    Setting &setting = settings.emplace_back(
        Setting{.name = std::string(name), .value = {}, .line = number, .shape = ValueShape::unreadable});
    reader.skip_equals_sign();
    if (reader.at_end()) {
        problems.error(number, "parameter \"" + printable(name) + "\" has no value; an empty one is written ''");
        return;
    }
    std::optional<std::string> value = reader.value(setting.verbatim);
    if (!value) {
        problems.error(number, "the quoted value of \"" + printable(name) + "\" does not end on this line");
        return;
    }
    // What is left may be the tail of a secret, so it is not shown.
    if (!reader.at_end()) {
        problems.error(number, "unexpected text after the value of \"" + printable(name) +
                                   "\"; a value with spaces, quotes or # is written in single quotes");
        return;
    }
    setting.value = std::move(*value);
    setting.shape = ValueShape::single;
}

} // namespace

Settings read_conf(std::string_view text, ProblemList &problems) {
    constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";
    if (text.starts_with(kByteOrderMark)) {
        text.remove_prefix(kByteOrderMark.size());
    }
    Settings settings;
    for (int number = 1; !text.empty(); number++) {
        const size_t end = std::min(text.find('\n'), text.size());
        read_line(text.substr(0, end), number, settings.list, problems);
        text.remove_prefix(std::min(end + 1, text.size()));
    }
    return settings;
}

std::string conf_quoted(std::string_view value, Backslashes backslashes) {
    std::string text = "'";
    for (const char c : value) {
        text += c;
        if (c == '\'' || (c == '\\' && backslashes == Backslashes::escape)) {
            text += c;
        }
    }
    return text += '\'';
}

} // namespace pgbalancer
