#include "config/parameter_value.h"

#include "config/duration_text.h"
#include "config/list_text.h"
#include "config/pattern_text.h"
#include "config/words.h"

#include <algorithm>
#include <charconv>

namespace pgbalancer {

namespace {

constexpr std::string_view kMask = "********";

template <class... Fs> struct Overloaded : Fs... { using Fs::operator()...; };
template <class... Fs> Overloaded(Fs...) -> Overloaded<Fs...>; // clang 14 does not deduce it

std::string_view word_of(std::span<const Word> words, int value) {
    return std::ranges::find(words, value, &Word::value)->text;
}

// The words that are shown, without synonyms.
std::string joined_words(std::span<const Word> words) {
    std::string text;
    for (const Word &word : words) {
        if (word_of(words, word.value) == word.text) {
            text += (text.empty() ? "" : ", ") + std::string(word.text);
        }
    }
    return text;
}

// Without an exponent, as people write it.
std::string shortest(double value) {
    char buffer[400]; // the smallest double takes 327
    const auto [end, error] = std::to_chars(buffer, buffer + sizeof buffer, value, std::chars_format::fixed);
    return error == std::errc{} ? std::string(buffer, end) : std::string();
}

std::string octal(unsigned value) {
    char buffer[16];
    const auto [end, error] = std::to_chars(buffer, buffer + sizeof buffer, value, 8);
    return error == std::errc{} ? "0" + std::string(buffer, end) : std::string();
}

std::string range_of(const BoolType &) { return "on, off"; }
std::string range_of(const IntType &type) {
    const std::string range = std::to_string(type.min) + " .. " + std::to_string(type.max);
    return type.automatic != nullptr ? "auto, or " + range : range;
}
std::string range_of(const PortType &) { return "1 .. 65535"; }
std::string range_of(const PermissionsType &) { return "0000 .. 0777"; }
std::string range_of(const RealType &type) { return shortest(type.min) + " .. " + shortest(type.max); }
std::string range_of(const BytesType &) { return "0 .. " + std::to_string(kMostBytes); }
std::string range_of(const DurationType &type) { return duration_text(type.min) + " .. " + duration_text(type.max); }
std::string range_of(const TextType &) { return {}; }
std::string range_of(const ListType &) { return {}; }
std::string range_of(const ChoiceType &type) { return joined_words(type.words); }
std::string range_of(const PoolModesType &type) { return joined_words(type.words); }
std::string range_of(const PatternsType &) { return {}; }
std::string range_of(const RedirectsType &) { return {}; }
std::string range_of(const BackendFlagsType &type) {
    std::string text;
    for (const FlagWord &word : type.words) {
        text += (text.empty() ? "" : ", ") + std::string(word.text);
    }
    return text;
}

struct Show {
    const Config &config;
    const BackendConfig *backend;
    Secrets secrets;

    std::string operator()(const BoolType &type) const { return type.field.in(config, backend) ? "on" : "off"; }
    std::string operator()(const IntType &type) const { return std::to_string(type.field.in(config, backend)); }
    std::string operator()(const PortType &type) const { return std::to_string(type.field.in(config, backend)); }
    std::string operator()(const PermissionsType &type) const { return octal(type.field.in(config, backend)); }
    std::string operator()(const RealType &type) const { return shortest(type.field.in(config, backend)); }
    std::string operator()(const BytesType &type) const { return std::to_string(type.field.in(config, backend)); }
    std::string operator()(const DurationType &type) const { return duration_text(type.field.in(config, backend)); }
    std::string operator()(const ListType &type) const { return list_text(type.field.in(config, backend)); }
    std::string operator()(const ChoiceType &type) const { return std::string(word_of(type.words, type.get(config))); }
    std::string operator()(const TextType &type) const {
        const std::string &text = type.field.in(config, backend);
        const bool mask = type.kind == TextKind::secret && secrets == Secrets::masked && !text.empty();
        return mask ? std::string(kMask) : text;
    }
    std::string operator()(const PoolModesType &type) const {
        NamedWords pairs;
        for (const auto &[name, mode] : type.field.in(config, backend)) {
            pairs.emplace_back(name, word_of(type.words, static_cast<int>(mode)));
        }
        return named_words_text(pairs);
    }
    std::string operator()(const PatternsType &type) const {
        const auto &patterns = type.field.in(config, backend);
        return type.kind == PatternKind::queries ? query_patterns_text(patterns) : list_text(patterns);
    }
    std::string operator()(const RedirectsType &type) const { return redirects_text(type.field.in(config, backend)); }
    std::string operator()(const BackendFlagsType &type) const {
        std::string text;
        for (const FlagWord &word : type.words) {
            if (backend->*word.member == word.value) {
                text += (text.empty() ? "" : "|") + std::string(word.text);
            }
        }
        return text;
    }
};

} // namespace

std::string parameter_text(const Parameter &parameter, const Config &config, const BackendConfig *backend,
                           Secrets secrets) {
    return std::visit(Show{config, backend, secrets}, parameter.type);
}

bool parameter_equal(const Parameter &parameter, const Config &a, const BackendConfig *backend_a, const Config &b,
                     const BackendConfig *backend_b) {
    return std::visit(Overloaded{
                          [&](const ChoiceType &type) { return type.get(a) == type.get(b); },
                          [&](const BackendFlagsType &type) {
                              return std::ranges::all_of(type.words, [&](const FlagWord &word) {
                                  return backend_a->*word.member == backend_b->*word.member;
                              });
                          },
                          [&](const auto &type) { return type.field.in(a, backend_a) == type.field.in(b, backend_b); },
                      },
                      parameter.type);
}

void copy_parameter(const Parameter &parameter, const Config &from, const BackendConfig *backend_from, Config &to,
                    BackendConfig *backend_to) {
    std::visit(Overloaded{
                   [&](const ChoiceType &type) { type.set(to, type.get(from)); },
                   [&](const BackendFlagsType &type) {
                       for (const FlagWord &word : type.words) {
                           backend_to->*word.member = backend_from->*word.member;
                       }
                   },
                   [&](const auto &type) { type.field.in(to, backend_to) = type.field.in(from, backend_from); },
               },
               parameter.type);
}

bool is_secret(const Parameter &parameter) {
    const auto *text = std::get_if<TextType>(&parameter.type);
    return text != nullptr && text->kind == TextKind::secret;
}

bool is_quoted(const Parameter &parameter) {
    return std::visit(Overloaded{[](const TextType &) { return true; }, [](const ListType &) { return true; },
                                 [](const PoolModesType &) { return true; }, [](const PatternsType &) { return true; },
                                 [](const RedirectsType &) { return true; },
                                 [](const BackendFlagsType &) { return true; }, [](const auto &) { return false; }},
                      parameter.type);
}

bool keeps_backslashes(const Parameter &parameter) {
    return std::holds_alternative<PatternsType>(parameter.type) ||
           std::holds_alternative<RedirectsType>(parameter.type);
}

std::string type_text(const Parameter &parameter) {
    return std::visit(
        Overloaded{
            [](const BoolType &) { return "boolean"; },
            [](const IntType &) { return "integer"; },
            [](const PortType &) { return "integer"; },
            [](const PermissionsType &) { return "octal number"; },
            [](const RealType &) { return "number"; },
            [](const BytesType &) { return "size (bytes)"; },
            [](const DurationType &type) {
                return type.unit == DurationUnit::seconds ? "duration (seconds)" : "duration (milliseconds)";
            },
            [](const TextType &type) {
                switch (type.kind) {
                case TextKind::plain: return "text";
                case TextKind::secret: return "text (secret)";
                case TextKind::path: return "path";
                case TextKind::host: return "host";
                }
                return "text";
            },
            [](const ListType &type) {
                return type.kind == ListKind::addresses ? "list of addresses" : "list of directories";
            },
            [](const ChoiceType &) { return "one of"; },
            [](const PoolModesType &) { return "list of name:mode"; },
            [](const BackendFlagsType &) { return "flags"; },
            [](const PatternsType &type) {
                return type.kind == PatternKind::queries ? "patterns separated by semicolons" : "list of patterns";
            },
            [](const RedirectsType &) { return "list of pattern:node"; },
        },
        parameter.type);
}

std::string range_text(const Parameter &parameter) {
    return std::visit([](const auto &type) { return range_of(type); }, parameter.type);
}

} // namespace pgbalancer
