#include "child/reset_names.h"

#include <algorithm>
#include <utility>

namespace pgbalancer {

namespace {

constexpr std::string_view kAll = "all";

bool is_blank(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (c & 0x80) != 0; }

bool is_word_part(char c) { return is_letter(c) || (c >= '0' && c <= '9'); }

class ResetFinder {
  public:
    explicit ResetFinder(std::string_view text) : text_(text) {}

    std::vector<std::string> find() {
        while (at_ < text_.size()) {
            if (at_ == comment_end_) {
                begins_ = begins_after_comment_;
            }
            const char c = text_[at_];
            if (is_word_part(c)) {
                const bool begins = std::exchange(begins_, false);
                on_word(word(), begins);
            } else if (is_blank(c)) {
                at_++;
            } else if (at_ >= comment_end_ && comment_size() > 0) {
                // What it says is read as well: it may be a string that only looks like a comment.
                comment_end_ = at_ + comment_size();
                begins_after_comment_ = begins_;
                begins_ = false;
                at_ += 2;
            } else {
                const bool quotes = c == '"' && at_ + 1 < text_.size() && !is_blank(text_[at_ + 1]);
                begins_ = c == ';' || c == '\'' || c == '$' || c == '>' || quotes;
                at_++;
            }
        }
        return std::move(found_);
    }

  private:
    // Of one that starts here; 0: none does.
    size_t comment_size() const {
        const std::string_view rest = text_.substr(at_);
        if (rest.starts_with("--")) {
            return std::min(rest.find('\n'), rest.size());
        }
        if (rest.starts_with("/*")) {
            const size_t end = rest.find("*/", 2);
            return end == std::string_view::npos ? rest.size() : end + 2;
        }
        return 0;
    }

    void skip_blanks() {
        while (at_ < text_.size()) {
            if (is_blank(text_[at_])) {
                at_++;
            } else if (const size_t comment = comment_size(); comment > 0) {
                at_ += comment;
            } else {
                return;
            }
        }
    }

    std::string word() {
        std::string word;
        while (at_ < text_.size() && is_word_part(text_[at_])) {
            const char c = text_[at_++];
            word.push_back(c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c);
        }
        return word;
    }
    std::string next_word() {
        skip_blanks();
        return word();
    }
    bool next_is(char c) {
        skip_blanks();
        if (at_ == text_.size() || text_[at_] != c) {
            return false;
        }
        at_++;
        return true;
    }

    // A setting's name, perhaps quoted and with dots; empty: none is here.
    std::string name() {
        std::string name;
        skip_blanks();
        do {
            const bool quoted = at_ < text_.size() && text_[at_] == '"';
            at_ += quoted ? 1 : 0;
            const std::string part = word();
            if (part.empty()) {
                return {};
            }
            at_ += quoted && at_ < text_.size() && text_[at_] == '"' ? 1 : 0;
            name += (name.empty() ? "" : ".") + part;
        } while (at_ < text_.size() && text_[at_] == '.' && ++at_ < text_.size());
        return name;
    }

    // A name that is put together when the statement runs: 'RESET ' || name, format('RESET %I', name).
    bool computed() {
        skip_blanks();
        return at_ < text_.size() && (text_[at_] == '\'' || text_[at_] == '%' || text_[at_] == '"');
    }

    void on_word(const std::string &word, bool begins) {
        if (word == "set_config") {
            on_set_config();
        } else if (begins && word == "reset") {
            std::string what = name();
            if (what == "time") {
                what = "timezone"; // RESET TIME ZONE
            } else if (what == "session") {
                what = "session_authorization";
            }
            if (!what.empty() || computed()) {
                add(std::move(what));
            }
        } else if (begins && word == "set") {
            on_set();
        } else if (word == "update") {
            on_update();
        } else if (begins && word == "to" && next_word() == "default") {
            add({}); // the end of a statement that is put together
        } else {
            begins_ = word == "begin" || word == "then" || word == "else" || word == "loop" || word == "atomic";
        }
    }

    void on_set() {
        std::string what = name();
        if (what == "session" || what == "local") {
            what = name();
        }
        if (what == "time") {
            next_word();
            const std::string value = next_word();
            if (value == "default" || value == "local") {
                add("timezone");
            }
            return;
        }
        if (what == "authorization") {
            if (next_word() == "default") {
                add("session_authorization");
            }
            return;
        }
        if (what.empty()) {
            if (!computed()) {
                return;
            }
            while (at_ < text_.size() && !is_blank(text_[at_]) && text_[at_] != '=') {
                at_++;
            }
        }
        if ((next_is('=') || next_word() == "to") && next_word() == "default") {
            add(std::move(what));
        }
    }

    // UPDATE pg_settings SET setting = NULL …
    void on_update() {
        std::string relation = name();
        if (relation != "pg_settings" && relation != "pg_catalog.pg_settings") {
            return;
        }
        const size_t end = std::min(text_.find(';', at_), text_.size());
        while (at_ < end) {
            const std::string value = next_word();
            if (value == "null" || value == "default") {
                add({});
            }
            at_ += value.empty() ? 1 : 0;
        }
    }

    // set_config(name, NULL, …): what stands before the first comma is the name if it is a plain literal.
    void on_set_config() {
        const bool closing_quote = at_ < text_.size() && text_[at_] == '"';
        at_ += closing_quote ? 1 : 0;
        if (!next_is('(')) {
            return;
        }
        skip_blanks();
        const size_t comma = text_.find(',', at_);
        if (comma == std::string_view::npos) {
            return;
        }
        std::string_view first = text_.substr(at_, comma - at_);
        const size_t resume = at_;
        at_ = comma + 1;
        if (next_word() != "null") {
            at_ = resume; // a computed name may have commas of its own, and calls
            return;
        }
        const auto trim = [&first](auto drop) {
            while (!first.empty() && drop(first.front())) {
                first.remove_prefix(1);
            }
            while (!first.empty() && drop(first.back())) {
                first.remove_suffix(1);
            }
        };
        trim(is_blank);
        const bool literal = first.starts_with('\'') && first.ends_with('\'');
        trim([](char c) { return c == '\''; });
        std::string what;
        for (const char c : first) {
            if (!literal || !(is_word_part(c) || c == '.')) {
                what.clear();
                break;
            }
            what.push_back(c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c);
        }
        add(std::move(what));
    }

    void add(std::string name) { found_.push_back(name.empty() ? std::string(kAll) : std::move(name)); }

    std::string_view text_;
    size_t at_ = 0;
    size_t comment_end_ = 0;
    bool begins_ = true; // a statement may begin here
    bool begins_after_comment_ = true;
    std::vector<std::string> found_;
};

} // namespace

std::vector<std::string> settings_reset_in(const Classification &what, std::string_view text) {
    switch (what.kind) {
    case StatementKind::reset:
    case StatementKind::set_local: return {what.name.empty() ? std::string(kAll) : what.name};
    case StatementKind::discard: return {std::string(kAll)};
    default: break;
    }
    std::vector<std::string> names = ResetFinder(text).find();
    const bool may_have_none =
        (what.effects & kResets) == 0 && (what.kind == StatementKind::do_block || what.kind == StatementKind::unknown ||
                                          what.kind == StatementKind::multiple);
    if (names.empty() && !may_have_none) {
        names.emplace_back(kAll);
    }
    return names;
}

} // namespace pgbalancer
