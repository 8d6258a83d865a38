#include "common/pattern.h"

#include <optional>
#include <regex.h>

namespace pgbalancer {

struct Pattern::Compiled {
    regex_t regex;
};

void Pattern::Free::operator()(Compiled *compiled) const {
    regfree(&compiled->regex);
    delete compiled;
}

namespace {

std::optional<std::string> compile_into(regex_t &regex, const std::string &expression, int flags) {
    const int error = regcomp(&regex, expression.c_str(), flags);
    if (error == 0) {
        return std::nullopt;
    }
    char text[128];
    regerror(error, &regex, text, sizeof text);
    return text;
}

} // namespace

Result<Pattern> Pattern::compile(const std::string &expression, Case how) {
    const int flags = REG_EXTENDED | REG_NOSUB | (how == Case::ignored ? REG_ICASE : 0);
    // By itself first: a parenthesis too many must not find its partner in ours.
    regex_t alone;
    if (const auto complaint = compile_into(alone, expression, flags)) {
        return Error{.message = *complaint, .sqlstate = {}};
    }
    regfree(&alone);
    auto compiled = std::make_unique<Compiled>();
    if (const auto complaint = compile_into(compiled->regex, "^(" + expression + ")$", flags)) {
        return Error{.message = *complaint, .sqlstate = {}};
    }
    return Pattern(std::unique_ptr<Compiled, Free>(compiled.release()));
}

bool Pattern::matches(std::string_view text) const {
    regmatch_t range{.rm_so = 0, .rm_eo = static_cast<regoff_t>(text.size())};
    const char *const start = text.data() == nullptr ? "" : text.data();
    return regexec(&compiled_->regex, start, 1, &range, REG_STARTEND) == 0;
}

} // namespace pgbalancer
