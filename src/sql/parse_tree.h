// parse_tree.h: libpg_query behind an owning type. The only file that calls the library.
//
// The library recurses over what it parses, with the stack of whoever calls it and without a limit on most of its way:
// bound the nesting first (see nesting.h). Costs 10 µs for a trivial statement and 60 µs for a join. Any process.
#pragma once

#include <optional>
#include <pg_query/pg_query.pb-c.h>
#include <string>
#include <utility>

namespace pgbalancer {

class ParseTree {
  public:
    // No value where PostgreSQL 15's grammar refuses the text.
    [[nodiscard]] static std::optional<ParseTree> parse(const std::string &sql);

    ParseTree(ParseTree &&other) noexcept : root_(std::exchange(other.root_, nullptr)) {}
    ParseTree &operator=(ParseTree &&) = delete;
    ~ParseTree();

    const PgQuery__ParseResult &root() const { return *root_; }

  private:
    explicit ParseTree(PgQuery__ParseResult *root) : root_(root) {}
    PgQuery__ParseResult *root_;
};

} // namespace pgbalancer
