#include "child/auth_passwd.h"

#include <sys/stat.h>

namespace pgbalancer {

namespace {

// Takes the next line, without its line end.
std::string_view take_line(std::string_view &rest) {
    const size_t end = rest.find('\n');
    std::string_view line = rest.substr(0, end);
    rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
    if (line.ends_with('\r')) {
        line.remove_suffix(1);
    }
    return line;
}

} // namespace

std::optional<PasswordFile> PasswordFile::load(const std::string &path, FileProblems &problems) {
    unsigned mode = 0;
    const auto text = read_auth_file(path, mode, problems);
    if (!text) {
        return std::nullopt;
    }
    if ((mode & (S_IRWXG | S_IRWXO)) != 0) {
        problems.warnings.push_back(path + ": group or others have access to the passwords: its mode should be 0600");
    }
    return parse(text->view(), path, problems);
}

std::optional<PasswordFile> PasswordFile::parse(std::string_view text, std::string_view name, FileProblems &problems) {
    PasswordFile file;
    std::unordered_map<std::string_view, int> first_line;
    int line_number = 0;
    bool bad = false;
    const auto error = [&](const std::string &what) {
        problems.errors.push_back(std::string(name) + ":" + std::to_string(line_number) + ": " + what);
        bad = true;
    };
    while (!text.empty()) {
        const std::string_view line = take_line(text);
        line_number++;
        if (line.empty() || line.front() == '#') {
            continue;
        }
        const size_t colon = line.find(':');
        if (colon == std::string_view::npos || colon == 0 || line.find('\0') != std::string_view::npos) {
            error("expected user:secret");
            continue;
        }
        const std::string_view user = line.substr(0, colon);
        const auto [known, is_new] = first_line.emplace(user, line_number);
        if (!is_new) {
            error("user \"" + std::string(user) + "\" is already in line " + std::to_string(known->second));
            continue;
        }
        Result<Secret> secret = parse_secret(line.substr(colon + 1));
        if (!secret) {
            error("user \"" + std::string(user) + "\": " + secret.error().message);
            continue;
        }
        file.users_.emplace(user, std::move(*secret));
    }
    if (bad) {
        return std::nullopt;
    }
    return file;
}

const Secret *PasswordFile::find(std::string_view user) const {
    const auto found = users_.find(user);
    return found == users_.end() ? nullptr : &found->second;
}

} // namespace pgbalancer
