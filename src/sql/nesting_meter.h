// nesting_meter.h: how deeply a text's parse tree may nest, judged from its tokens before anything recurses over it.
//
// Fed the tokens in order. At every level of parentheses, brackets and CASE it counts what can make the tree deeper:
// operators (also those spelled as words) since the last comma, AND or clause; joins since the last comma; set
// operations since the last semicolon. The bound is the largest sum over the open levels. Pure.
#pragma once

#include <cstddef>
#include <string_view>
#include <vector>

namespace pgbalancer {

class NestingMeter {
  public:
    void word(std::string_view word);
    void operation(std::string_view operation);
    // Quoted names and literals.
    void operand() { after_point_ = false; }

    size_t bound() const { return bound_; }

  private:
    static constexpr size_t kLevelCost = 4; // of a parenthesis: a sub-select at worst

    struct Level {
        size_t operators = 0;
        size_t joins = 0;
        size_t set_operations = 0;
        bool is_case = false;
    };
    Level &top() { return levels_.back(); }
    void open(bool is_case);
    void close(bool is_case);
    void add(size_t Level::*counter);

    std::vector<Level> levels_{1};
    size_t outer_ = 0; // what the levels below the top one add up to
    size_t bound_ = 0;
    bool after_point_ = false; // the next word is part of a name, whatever it is
};

} // namespace pgbalancer
