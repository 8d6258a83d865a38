// pattern.h: a POSIX extended regular expression (regcomp(3)) that must match the whole of a text.
//
// Bytes are compared as such, whatever their encoding. An immutable value, movable; any process. Matching may allocate.
#pragma once

#include "common/result.h"

#include <memory>
#include <string>
#include <string_view>

namespace pgbalancer {

class Pattern {
  public:
    enum class Case : uint8_t { matters, ignored };

    // The error's message says what is wrong with the expression.
    [[nodiscard]] static Result<Pattern> compile(const std::string &expression, Case how);

    // `text` has no zero byte.
    [[nodiscard]] bool matches(std::string_view text) const;

  private:
    struct Compiled;
    struct Free {
        void operator()(Compiled *compiled) const;
    };
    explicit Pattern(std::unique_ptr<Compiled, Free> compiled) : compiled_(std::move(compiled)) {}

    std::unique_ptr<Compiled, Free> compiled_;
};

} // namespace pgbalancer
