// routing_table.h: the rows of test/support/routing.tsv, and what their words mean.
//
// Session: `begin…` a deferred BEGIN; `default-…` default_transaction_isolation; `open`, `pinned`,
// `session-mode` what ties it; `wrote` once, long ago; `wrote-in-transaction` likewise; `mark=T`, `seen=T`
// (RouteSession); `wrote-now` = `wrote mark=5000`; `others-mark=T` somebody else's write, `others-wrote-now` at 5000;
// `chosen=N` the node chosen before; `nodes-changed` since then; `redirect=X(ratio)`.
// Configuration: parameters as in a file; `node1=down`; `primary=none` is known; `weights=`, `fresh=`, `active=` a
// number per node (fresh: per standby); `lag=unknown`; `facts=unknown`: the catalog has not been read.
#pragma once

#include "child/router.h"
#include "child/routing_need.h"
#include "config/config_loader.h"
#include "sql/catalog_facts.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <optional>
#include <sstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace pgbalancer::test {

struct RoutingRow {
    int line;
    std::vector<std::string> statements;
    std::string session;
    std::string configuration;
    std::string node;
    std::string reason;
};

struct RoutingTable {
    std::map<std::string, std::string> begins;
    std::vector<RoutingRow> rows;
};

inline std::vector<std::string> split(std::string_view text, std::string_view separator) {
    std::vector<std::string> parts;
    for (size_t end = 0; end != std::string_view::npos;) {
        end = text.find(separator);
        parts.emplace_back(text.substr(0, end));
        text.remove_prefix(end == std::string_view::npos ? text.size() : end + separator.size());
    }
    return parts;
}

inline std::filesystem::path support_file(const char *name) {
    return std::filesystem::path(__FILE__).parent_path().parent_path() / "support" / name;
}

inline RoutingTable routing_table() {
    std::ifstream file(support_file("routing.tsv"));
    RoutingTable table;
    std::string line;
    for (int number = 1; std::getline(file, line); number++) {
        if (line.empty() || line.starts_with("# ")) {
            continue;
        }
        const std::vector<std::string> columns = split(line, "\t");
        if (columns.size() == 2 && line.starts_with('@')) {
            table.begins[columns[0].substr(1)] = columns[1];
            continue;
        }
        if (columns.size() != 5) {
            return {}; // no test passes with an empty table
        }
        table.rows.push_back({number, split(columns[0], " ¦ "), columns[1], columns[2], columns[3], columns[4]});
    }
    return table;
}

inline void load_facts(CatalogFacts &facts) {
    std::ifstream file(support_file("routing.facts"));
    facts.begin();
    std::string line;
    while (std::getline(file, line)) {
        const std::vector<std::string> columns = split(line, "\t");
        facts.add_row(columns.at(0), columns.at(1));
    }
    facts.finish();
}

// The words of one column, as name and value.
inline std::vector<std::pair<std::string, std::string>> words_of(const std::string &column) {
    std::vector<std::pair<std::string, std::string>> words;
    std::istringstream in(column == "-" ? std::string() : column);
    for (std::string word; in >> word;) {
        const size_t equals = word.find('=');
        words.emplace_back(word.substr(0, equals), equals == std::string::npos ? "" : word.substr(equals + 1));
    }
    return words;
}

struct RowSession {
    RouteSession route;
    int64_t others_mark_us = 0;
    bool nodes_changed = false;
    bool understood = true;
};

inline RedirectTarget redirect_of(const std::string &text) {
    RedirectTarget target;
    const size_t open = text.find('(');
    const std::string node = text.substr(0, open);
    target.kind = node == "primary"   ? RedirectTarget::Kind::primary
                  : node == "standby" ? RedirectTarget::Kind::standby
                                      : RedirectTarget::Kind::node;
    target.node_id = static_cast<uint16_t>(atoi(node.c_str()));
    target.ratio = open == std::string::npos ? 1 : static_cast<float>(atof(text.c_str() + open + 1));
    return target;
}

inline RowSession session_of(const RoutingTable &table, const RoutingRow &row) {
    RowSession session;
    RouteSession &route = session.route;
    constexpr int64_t kNow = 5000;
    std::string begin;
    for (const auto &[name, value] : words_of(row.session)) {
        if (const auto found = table.begins.find(name); found != table.begins.end()) {
            begin = found->second;
        } else if (name == "default-rr" || name == "default-ser") {
            route.isolation = name == "default-rr" ? DefaultIsolation::repeatable_read : DefaultIsolation::serializable;
        } else if (name == "open") {
            route.tie = Tie::transaction;
        } else if (name == "pinned") {
            route.tie = Tie::pinned;
        } else if (name == "session-mode") {
            route.tie = Tie::session_mode;
        } else if (name == "wrote" || name == "wrote-in-transaction") {
            note_write(route, 1, name != "wrote");
        } else if (name == "wrote-now") {
            note_write(route, kNow, false);
        } else if (name == "mark") {
            note_write(route, atoll(value.c_str()), false);
        } else if (name == "others-mark" || name == "others-wrote-now") {
            session.others_mark_us = value.empty() ? kNow : atoll(value.c_str());
        } else if (name == "seen") {
            route.seen_us = atoll(value.c_str());
        } else if (name == "chosen") {
            route.chosen = static_cast<int16_t>(atoi(value.c_str()));
        } else if (name == "nodes-changed") {
            session.nodes_changed = true;
        } else if (name == "redirect") {
            route.redirect = redirect_of(value);
        } else {
            session.understood = false;
        }
    }
    if (!begin.empty()) {
        StatementCache cache(8);
        route.announced = announced_by(cache.classify(begin, {})->what(), route.isolation);
    }
    return session;
}

struct RowConfiguration {
    std::optional<Config> config;
    Topology nodes;
    bool facts_known = true;
};

inline RowConfiguration configuration_of(const RoutingRow &row, bool nodes_changed) {
    std::vector<RoutingNode> nodes = {{.id = 0, .up = true, .weight = 0},
                                      {.id = 1,
                                       .up = true,
                                       .standby = true,
                                       .weight = 1,
                                       .fresh_until_us = 1000,
                                       .lag_known = true,
                                       .lag_bytes = 100,
                                       .delay_us = 10'000},
                                      {.id = 2,
                                       .up = true,
                                       .standby = true,
                                       .weight = 1,
                                       .fresh_until_us = 1100,
                                       .lag_known = true,
                                       .lag_bytes = 1000,
                                       .delay_us = 100'000}};
    int primary = 0;
    RowConfiguration made;
    std::string text = "backend_hostname0 = a\nbackend_hostname1 = b\nbackend_hostname2 = c\npool_passwd = p\n"
                       "health_check_user = h\n";
    for (const auto &[name, value] : words_of(row.configuration)) {
        const std::vector<std::string> numbers = split(value, "/");
        if (name.starts_with("node")) {
            RoutingNode &node = nodes.at(static_cast<size_t>(name.at(4) - '0'));
            node.up = node.standby = false;
        } else if (name == "primary") {
            primary = -1;
            nodes[0].up = false;
        } else if (name == "weights" || name == "active") {
            for (size_t i = 0; i < nodes.size(); i++) {
                if (name == "weights") {
                    nodes[i].weight = atof(numbers.at(i).c_str());
                } else {
                    nodes[i].active = static_cast<uint32_t>(atoi(numbers.at(i).c_str()));
                }
            }
        } else if (name == "fresh") {
            nodes[1].fresh_until_us = atoll(numbers.at(0).c_str());
            nodes[2].fresh_until_us = atoll(numbers.at(1).c_str());
        } else if (name == "lag") {
            for (RoutingNode &node : nodes) {
                node.lag_known = false;
                node.delay_us = -1;
            }
        } else if (name == "facts") {
            made.facts_known = false;
        } else {
            text += name;
            text += " = '" + value + "'\n";
        }
    }
    made.config = load_config_text(text, "/dir/routing.conf").config;
    const bool positions = made.config && made.config->sr_check_period.count() > 0;
    made.nodes = Topology::of(std::move(nodes), primary, positions, nodes_changed ? 1 : 0);
    return made;
}

} // namespace pgbalancer::test
