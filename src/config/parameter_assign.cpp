#include "config/parameter_assign.h"

#include "config/duration_text.h"
#include "config/list_text.h"
#include "config/parameter_value.h"
#include "config/pattern_text.h"
#include "config/words.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <filesystem>
#include <limits>
#include <sys/un.h>

namespace pgbalancer {

namespace {

using Complaint = std::optional<std::string>;

const Word *find_word(std::span<const Word> words, std::string_view text) {
    const auto found = std::ranges::find_if(words, [&](const Word &word) { return same_word(word.text, text); });
    return found == words.end() ? nullptr : &*found;
}

std::optional<int> parse_integer(std::string_view text, int base = 10) {
    int value = 0;
    const char *end_of_text = text.data() + text.size();
    const auto [end, error] = std::from_chars(text.data(), end_of_text, value, base);
    if (error == std::errc::invalid_argument || end != end_of_text) {
        return std::nullopt;
    }
    if (error == std::errc::result_out_of_range) { // still an integer: let the range check speak
        return text.starts_with('-') ? std::numeric_limits<int>::min() : std::numeric_limits<int>::max();
    }
    return value;
}

std::string absolute_path(std::string_view text, const std::string &base_directory) {
    if (text.empty() || text.starts_with('/')) {
        return std::string(text);
    }
    return (std::filesystem::path(base_directory) / text).lexically_normal().string();
}

// A socket's path has to fit sockaddr_un, whatever the port.
Complaint check_socket_directory(std::string_view directory) {
    constexpr size_t kLongest = sizeof(sockaddr_un::sun_path) - sizeof "/.s.PGSQL.65535";
    if (directory.size() > kLongest) {
        return "is too long for the directory of a Unix-domain socket (" + std::to_string(kLongest) + " bytes)";
    }
    return std::nullopt;
}

Complaint check_address(std::string_view host) {
    constexpr size_t kLongestHostName = 255; // RFC 1035, 2.3.4
    if (host.empty() || host.size() > kLongestHostName || host.find_first_of(" ,/'\"=") != std::string_view::npos) {
        return "is neither a host name nor an address";
    }
    return std::nullopt;
}

// Reads text into the member a type points to.
struct Assign {
    const Parameter &parameter;
    std::string_view text;
    const std::string &base_directory;
    Config &config;
    BackendConfig *backend;

    Complaint outside() const { return "is outside the range " + range_text(parameter); }

    Complaint operator()(const BoolType &type) const {
        for (const std::string_view yes : {"on", "true", "yes", "1", "t", "y"}) {
            if (same_word(text, yes)) {
                type.field.in(config, backend) = true;
                return std::nullopt;
            }
        }
        for (const std::string_view no : {"off", "false", "no", "0", "f", "n"}) {
            if (same_word(text, no)) {
                type.field.in(config, backend) = false;
                return std::nullopt;
            }
        }
        return "is neither on nor off";
    }

    Complaint operator()(const IntType &type) const {
        if (type.automatic != nullptr && same_word(text, "auto")) {
            type.field.in(config, backend) = std::clamp(type.automatic(), type.min, type.max);
            return std::nullopt;
        }
        const auto value = parse_integer(text);
        if (!value) {
            return type.automatic != nullptr ? "is neither an integer nor auto" : "is not an integer";
        }
        if (*value < type.min || *value > type.max) {
            return outside();
        }
        type.field.in(config, backend) = *value;
        return std::nullopt;
    }

    Complaint operator()(const PortType &type) const {
        const auto value = parse_integer(text);
        if (!value) {
            return "is not an integer";
        }
        if (*value < 1 || *value > 65535) {
            return outside();
        }
        type.field.in(config, backend) = static_cast<uint16_t>(*value);
        return std::nullopt;
    }

    Complaint operator()(const PermissionsType &type) const {
        const auto value = parse_integer(text, 8);
        if (!value) {
            return "is not an octal number";
        }
        if (*value < 0 || *value > 0777) {
            return outside();
        }
        type.field.in(config, backend) = static_cast<unsigned>(*value);
        return std::nullopt;
    }

    Complaint operator()(const RealType &type) const {
        double value = 0;
        const char *end_of_text = text.data() + text.size();
        const auto [end, error] = std::from_chars(text.data(), end_of_text, value);
        if (end != end_of_text || error == std::errc::invalid_argument || std::isnan(value)) {
            return "is not a number";
        }
        if (error == std::errc::result_out_of_range || value < type.min || value > type.max) {
            return outside();
        }
        type.field.in(config, backend) = value + 0.0; // -0 becomes 0
        return std::nullopt;
    }

    Complaint operator()(const BytesType &type) const {
        constexpr std::string_view kUnits[] = {"B", "kB", "MB", "GB", "TB"};
        uint64_t value = 0;
        const char *end_of_text = text.data() + text.size();
        const auto [end, error] = std::from_chars(text.data(), end_of_text, value);
        const std::string_view unit = trimmed({end, static_cast<size_t>(end_of_text - end)});
        const auto *const found = std::ranges::find_if(kUnits, [&](auto u) { return same_word(u, unit); });
        if (error == std::errc::invalid_argument || (found == std::end(kUnits) && !unit.empty())) {
            return "is not a size: a number of bytes, or with a unit of kB, MB, GB or TB";
        }
        const auto shift = unit.empty() ? 0 : 10 * (found - std::begin(kUnits));
        if (error == std::errc::result_out_of_range || value > kMostBytes >> shift) {
            return outside();
        }
        type.field.in(config, backend) = value << shift;
        return std::nullopt;
    }

    Complaint operator()(const DurationType &type) const {
        const auto value = parse_duration(text, type.unit);
        if (!value) {
            return "is not a duration: a number and a unit of ms, s, min, h or d";
        }
        if (*value < type.min || *value > type.max) {
            return outside();
        }
        type.field.in(config, backend) = *value;
        return std::nullopt;
    }

    Complaint operator()(const TextType &type) const {
        if (type.kind == TextKind::host && !text.empty()) {
            if (Complaint complaint = text[0] == '/' ? check_socket_directory(text) : check_address(text)) {
                return complaint;
            }
        }
        type.field.in(config, backend) =
            type.kind == TextKind::path ? absolute_path(text, base_directory) : std::string(text);
        return std::nullopt;
    }

    Complaint operator()(const ListType &type) const {
        auto items = parse_list(text);
        if (!items) {
            return "is not a list of items separated by commas";
        }
        for (std::string &item : *items) {
            if (type.kind == ListKind::directories) {
                item = absolute_path(item, base_directory);
            }
            if (item.empty()) {
                return "has an empty item";
            }
            if (Complaint complaint =
                    type.kind == ListKind::directories ? check_socket_directory(item) : check_address(item)) {
                return "has an item that " + *complaint;
            }
        }
        type.field.in(config, backend) = std::move(*items);
        return std::nullopt;
    }

    Complaint operator()(const ChoiceType &type) const {
        const Word *word = find_word(type.words, text);
        if (word == nullptr) {
            return "is none of " + range_text(parameter);
        }
        type.set(config, word->value);
        return std::nullopt;
    }

    Complaint operator()(const PoolModesType &type) const {
        const auto pairs = parse_named_words(text);
        if (!pairs) {
            return "is not of the form name:mode, name:mode";
        }
        std::vector<std::pair<std::string, PoolMode>> modes;
        for (const auto &[name, mode] : *pairs) {
            const Word *word = find_word(type.words, mode);
            if (word == nullptr) {
                return "has a mode that is none of " + range_text(parameter);
            }
            if (std::ranges::find(modes, name, &std::pair<std::string, PoolMode>::first) != modes.end()) {
                return "names \"" + printable(name) + "\" twice";
            }
            modes.emplace_back(name, static_cast<PoolMode>(word->value));
        }
        type.field.in(config, backend) = std::move(modes);
        return std::nullopt;
    }

    template <class T> static Complaint take(TextResult<T> result, T &into) {
        if (auto *complaint = std::get_if<std::string>(&result)) {
            return std::move(*complaint);
        }
        into = std::move(std::get<T>(result));
        return std::nullopt;
    }

    Complaint operator()(const PatternsType &type) const {
        return take(type.kind == PatternKind::queries ? parse_query_patterns(text) : parse_name_patterns(text),
                    type.field.in(config, backend));
    }

    Complaint operator()(const RedirectsType &type) const {
        return take(parse_redirects(text), type.field.in(config, backend));
    }

    Complaint operator()(const BackendFlagsType &type) const {
        BackendConfig flags; // what is not mentioned is as in a backend without flags
        std::string_view rest = text;
        std::vector<const FlagWord *> seen;
        for (bool more = !trimmed(text).empty(); more;) {
            const size_t bar = rest.find('|');
            const std::string_view word = trimmed(rest.substr(0, bar));
            const auto flag =
                std::ranges::find_if(type.words, [&](const FlagWord &f) { return same_word(f.text, word); });
            if (flag == type.words.end()) {
                return "is not made of " + range_text(parameter) + ", joined by '|'";
            }
            const bool contradicts = std::ranges::any_of(
                seen, [&](const FlagWord *f) { return f->member == flag->member && f->value != flag->value; });
            if (contradicts) {
                return "both allows and disallows failover";
            }
            seen.push_back(&*flag);
            flags.*(flag->member) = flag->value;
            more = bar != std::string_view::npos;
            rest.remove_prefix(more ? bar + 1 : rest.size());
        }
        for (const FlagWord &word : type.words) {
            backend->*word.member = flags.*word.member;
        }
        return std::nullopt;
    }
};

} // namespace

std::optional<std::string> assign_parameter(const Parameter &parameter, std::string_view text,
                                            const std::string &base_directory, Config &config, BackendConfig *backend) {
    if (has_control_character(text)) {
        return "contains a control character";
    }
    return std::visit(Assign{parameter, text, base_directory, config, backend}, parameter.type);
}

} // namespace pgbalancer
