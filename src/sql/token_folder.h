// token_folder.h: makes token streams alike that differ only in how many constants they list.
//
// Sits between scan_tokens() and what takes the tokens (the hash, the canonical text), so that INSERT … VALUES with ten
// rows and with a thousand, or IN lists of any length, are one statement in the cache and small for the parser:
//   - of `constant , constant , constant …` the first two stay (two, because NULLIF and OVERLAPS want that many);
//   - of `( … ) , ( … )` with the same tokens inside, constants of any kind being the same, the first stays;
//   - after a comma or an opening parenthesis a sign before a number goes, any number is an integer, and NULL, TRUE
//     and FALSE before the next comma or closing parenthesis are constants. Not in a call of set_config: whether the
//     setting is for the transaction only, and whether it is reset, is worth knowing.
// What is dropped can be dropped: a constant is a whole operand, so what follows it in the text applies as well to the
// one before; and a Classification is a union over the tree, in which repetition says nothing.
//
// Output takes word, quoted_word, literal and operation as a sink does, and has
//   size_t position() const;                     where the next token goes
//   bool can_rewind(size_t position) const;      whether truncate(position) is possible and everything behind is at
//   hand void truncate(size_t position);              forgets what was put there and later bool same(TokenRange,
//   TokenRange) const;     whether they hold the same tokens, constants of any kind being the same
#pragma once

#include "sql/token_scanner.h"

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace pgbalancer {

// A range of positions in an Output: one parenthesised group.
struct TokenRange {
    size_t begin;
    size_t end;
};

template <class Output> class TokenFolder {
  public:
    // `text_end` is the end of the text scanned.
    TokenFolder(Output &out, const char *text_end) : out_(out), text_end_(text_end) {}

    void word(const char *text, size_t size) {
        if (at_operand() && (size == 4 || size == 5) && is_constant(text, size)) {
            literal(LiteralKind::string);
            return;
        }
        last_ = Last::other;
        last_word_ = {text, size};
        out_.word(text, size);
    }
    void quoted_word(const char *text, size_t size) {
        last_ = Last::other;
        out_.quoted_word(text, size);
    }
    void literal(LiteralKind kind) {
        if (kind == LiteralKind::integer || kind == LiteralKind::numeric) {
            if (last_ >= Last::sign_after_parenthesis && out_.can_rewind(sign_)) {
                out_.truncate(sign_);
                last_ = static_cast<Last>(static_cast<uint8_t>(last_) - kSignToOpener);
            }
            if (at_operand()) {
                kind = LiteralKind::integer;
            }
        }
        if (last_ != Last::comma_in_run) {
            constants_ = 1;
            out_.literal(kind);
        } else if (constants_ < 2 || !out_.can_rewind(comma_)) {
            ++constants_;
            out_.literal(kind);
        } else {
            out_.truncate(comma_);
        }
        last_ = Last::constant;
    }
    void operation(const char *text, size_t size) {
        Last next = Last::other;
        if (size == 1) {
            switch (*text) {
            case ',':
                comma_ = out_.position();
                next = last_ == Last::constant ? Last::comma_in_run : Last::comma;
                break;
            case '(':
                open_group();
                next = Last::parenthesis;
                break;
            case ')':
                last_ = Last::other;
                out_.operation(text, size);
                close_group();
                return;
            case '+':
            case '-':
                if (at_operand()) {
                    sign_ = out_.position();
                    next = static_cast<Last>(static_cast<uint8_t>(last_) + kSignToOpener);
                }
                break;
            default: break;
            }
        }
        last_ = next;
        out_.operation(text, size);
    }

  private:
    static constexpr size_t kDeepest = 8; // groups nested more deeply are not compared
    static constexpr std::string_view kSetConfig = "set_config";
    // What the last token was. A run is constants with commas between.
    enum class Last : uint8_t {
        other,
        constant,
        parenthesis, // an opening one
        comma,
        comma_in_run,
        sign_after_parenthesis,
        sign_after_comma,
        sign_after_comma_in_run,
    };
    static constexpr uint8_t kSignToOpener = 3;

    // Whether an operand begins here that is nobody's right-hand side.
    bool at_operand() const { return last_ >= Last::parenthesis && last_ <= Last::comma_in_run; }

    void open_group() {
        if (depth_ < kDeepest) {
            // Positions alone say whether the group before is the neighbour. One that was truncated and written anew is
            // no danger: what stands there now is compared.
            open_[depth_] = out_.position();
            neighbours_[depth_] =
                last_ == Last::comma && (closed_known_ >> depth_ & 1) != 0 && closed_[depth_].end == comma_;
        }
        ++depth_;
        if (last_word_.size() == kSetConfig.size() && is_word(last_word_, kSetConfig)) {
            set_config_depth_ = depth_;
        }
        last_word_ = {};
    }
    void close_group() {
        if (depth_ == set_config_depth_) {
            set_config_depth_ = 0;
        }
        if (depth_ == 0 || --depth_ >= kDeepest) {
            return;
        }
        TokenRange &before = closed_[depth_];
        const TokenRange now{open_[depth_], out_.position()};
        if (neighbours_[depth_] && out_.can_rewind(before.begin) && out_.same(before, now)) {
            out_.truncate(before.end);
        } else {
            before = now;
            closed_known_ |= 1U << depth_;
        }
    }
    // Both of one length; `lower` in lower case, letters and underscores only.
    static bool is_word(std::string_view word, std::string_view lower) {
        for (size_t i = 0; i < lower.size(); ++i) {
            if (word[i] != lower[i] && (lower[i] == '_' || (word[i] | 0x20) != lower[i])) {
                return false;
            }
        }
        return true;
    }
    // `text` is four or five characters long.
    bool is_constant(const char *text, size_t size) const {
        const std::string_view word(text, size);
        if (set_config_depth_ != 0 ||
            !(size == 5 ? is_word(word, "false") : is_word(word, "true") || is_word(word, "null"))) {
            return false;
        }
        const char *next = token_scanner_detail::next_token(text + size, text_end_);
        return next != nullptr && (*next == ',' || *next == ')');
    }

    Output &out_;
    const char *text_end_;
    Last last_ = Last::other;
    size_t constants_ = 0; // in the run that the last tokens are
    size_t comma_ = 0;     // where the last comma was put
    size_t sign_ = 0;      // where the last sign after an opener was
    size_t depth_ = 0;
    size_t set_config_depth_ = 0; // inside the parentheses of a call of it: their depth
    std::string_view last_word_;  // unquoted, and not used up by a parenthesis yet
    // By depth: where the open group begins, whether only a comma separates it from the last closed one, that one (if
    // its bit in closed_known_ is set).
    unsigned closed_known_ = 0;
    size_t open_[kDeepest];
    bool neighbours_[kDeepest];
    TokenRange closed_[kDeepest];
};

} // namespace pgbalancer
