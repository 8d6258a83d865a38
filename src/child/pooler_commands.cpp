#include "child/pooler_commands.h"

#include "child/pooler_report.h"
#include "child/setting_names.h"
#include "child/wire.h"

#include <algorithm>

namespace pgbalancer {

struct PoolerCommand {
    std::string_view words;
    const PoolerReport &report;
};

namespace {

constexpr uint32_t kTextOid = 25;

constexpr PoolerCommand kCommands[] = {
    {"show pool_nodes", kNodesReport},         {"show pool_health_check_stats", kHealthCheckReport},
    {"show pool_processes", kProcessesReport}, {"show pool_pools", kPoolsReport},
    {"show pool_status", kStatusReport},       {"show pool_version", kVersionReport},
    {"show pool_routes", kRoutesReport},       {"show pool_backend_stats", kBackendStatsReport},
};

constexpr PoolerCommand kExplainRoute{"explain route", kExplainRouteReport};

// The words of `text`, lower-cased, without a final semicolon; nothing if it is longer than any command.
std::string normalised(std::string_view text) {
    if (text.size() > 64) {
        return {};
    }
    std::string out;
    for (const char c : text) {
        const bool space = c == ' ' || c == '\t' || c == '\n' || c == '\r';
        if (space) {
            if (!out.empty() && out.back() != ' ') {
                out.push_back(' ');
            }
        } else {
            out.push_back(c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c);
        }
    }
    while (!out.empty() && (out.back() == ' ' || out.back() == ';')) {
        out.pop_back();
    }
    return out;
}

// Takes white space and then the word off the front; the word must end there.
bool take_word(std::string_view &text, std::string_view lower_case_word) {
    const size_t start = std::min(text.find_first_not_of(" \t\r\n"), text.size());
    const std::string_view rest = text.substr(start);
    const bool same = rest.size() >= lower_case_word.size() &&
                      std::ranges::equal(rest.substr(0, lower_case_word.size()), lower_case_word, [](char c, char l) {
                          return (c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c) == l;
                      });
    if (!same || (rest.size() > lower_case_word.size() &&
                  std::string_view(" \t\r\n").find(rest[lower_case_word.size()]) == std::string_view::npos)) {
        return false;
    }
    text.remove_prefix(start + lower_case_word.size());
    return true;
}

// EXPLAIN ROUTE is no PostgreSQL command, so nothing is taken away from anybody.
bool is_explain_route(std::string_view text) { return take_word(text, "explain") && take_word(text, "route"); }

const PoolerCommand *find_command(std::string_view text) {
    if (is_explain_route(text)) {
        return &kExplainRoute;
    }
    if (!may_be_show(text)) {
        return nullptr;
    }
    const std::string words = normalised(text);
    const auto *found = std::ranges::find(kCommands, words, &PoolerCommand::words);
    return found == std::end(kCommands) ? nullptr : found;
}

} // namespace

void PoolerAnswer::append_description(std::string &out) const {
    const auto columns = command_.report.columns;
    MessageWriter w(out);
    w.begin('T').u16(static_cast<uint16_t>(columns.size()));
    for (const auto &name : columns) {
        w.string(name).u32(0).u16(0).u32(kTextOid).u16(UINT16_MAX).u32(UINT32_MAX).u16(0);
    }
    w.end();
}

void PoolerAnswer::append_rows(std::string &out) const {
    MessageWriter w(out);
    for (const PoolerRow &row : command_.report.rows(session_, text_)) {
        w.begin('D').u16(static_cast<uint16_t>(row.size()));
        for (const auto &value : row) {
            if (value) {
                w.u32(static_cast<uint32_t>(value->size())).bytes(*value);
            } else {
                w.u32(UINT32_MAX);
            }
        }
        w.end();
    }
    append_command_complete(out, &command_ == &kExplainRoute ? "EXPLAIN" : "SHOW");
}

bool is_pooler_command(std::string_view text) { return find_command(text) != nullptr; }

bool may_be_pooler_command(std::string_view text) { return may_be_show(text) || is_explain_route(text); }

PoolerAnswer answer_pooler_command(std::string_view text, Session &session) {
    const PoolerCommand &command = *find_command(text);
    if (&command == &kExplainRoute) {
        (void)(take_word(text, "explain") && take_word(text, "route"));
    }
    return {command, session, text};
}

} // namespace pgbalancer
