#include "child/auth_hba_lexer.h"

namespace pgbalancer {

namespace {

bool blank(char c) { return c == ' ' || c == '\t' || c == '\r'; }

enum class TokenEnd : uint8_t { blank, comma, unterminated_quote };

// Takes one token from a `rest` that begins with neither blank, comma nor '#', and what ends it.
TokenEnd take_token(std::string_view &rest, HbaToken &token) {
    bool quoting = false;
    while (!rest.empty() && (quoting || !blank(rest.front()))) {
        const char c = rest.front();
        if (c == '#' && !quoting) {
            return TokenEnd::blank;
        }
        rest.remove_prefix(1);
        if (c == ',' && !quoting) {
            return TokenEnd::comma;
        }
        if (c != '"') {
            token.text += c;
        } else if (quoting && rest.starts_with('"')) {
            token.text += '"';
            rest.remove_prefix(1);
        } else {
            token.quoted = token.quoted || token.text.empty();
            quoting = !quoting;
        }
    }
    return quoting ? TokenEnd::unterminated_quote : TokenEnd::blank;
}

} // namespace

std::string take_hba_line(std::string_view &text, int &lines) {
    std::string out;
    lines = 0;
    for (bool more = true; more && !text.empty();) {
        const size_t end = text.find('\n');
        std::string_view line = text.substr(0, end);
        text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
        if (line.ends_with('\r')) {
            line.remove_suffix(1);
        }
        more = line.ends_with('\\');
        if (more) {
            line.remove_suffix(1);
        }
        out += line;
        lines++;
    }
    return out;
}

Result<std::vector<HbaField>> split_hba_line(std::string_view line) {
    if (line.find('\0') != std::string_view::npos) {
        return Error{"NUL byte", ""};
    }
    std::vector<HbaField> fields;
    bool same_field = false;
    for (;;) {
        // Commas without anything before them are skipped, as PostgreSQL does.
        while (!line.empty() && (blank(line.front()) || line.front() == ',')) {
            line.remove_prefix(1);
        }
        if (line.empty() || line.front() == '#') {
            return fields;
        }
        HbaToken token;
        const TokenEnd end = take_token(line, token);
        if (end == TokenEnd::unterminated_quote) {
            return Error{"unterminated quote", ""};
        }
        if (!same_field) {
            fields.emplace_back();
        }
        fields.back().push_back(std::move(token));
        same_field = end == TokenEnd::comma;
    }
}

} // namespace pgbalancer
