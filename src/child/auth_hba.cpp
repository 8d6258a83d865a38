#include "child/auth_hba.h"

#include "child/auth_hba_lexer.h"
#include "child/auth_hba_parser.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <ifaddrs.h>

namespace pgbalancer {

namespace {

Result<std::vector<AddressRange>> local_interfaces() {
    ifaddrs *list = nullptr;
    if (getifaddrs(&list) != 0) {
        return Error{std::string("cannot list the network interfaces: ") + strerror(errno), ""};
    }
    std::vector<AddressRange> out;
    for (const ifaddrs *i = list; i != nullptr; i = i->ifa_next) {
        const auto base = PeerAddress::from_sockaddr(i->ifa_addr, sizeof(sockaddr_storage));
        const auto mask = PeerAddress::from_sockaddr(i->ifa_netmask, sizeof(sockaddr_storage));
        if (base && mask && base->family == mask->family && !base->is_local_socket()) {
            out.push_back({*base, *mask});
        }
    }
    freeifaddrs(list);
    return out;
}

bool connection_matches(HbaRule::Connection connection, const HbaRequest &request) {
    if (connection == HbaRule::Connection::local || request.address.is_local_socket()) {
        return connection == HbaRule::Connection::local && request.address.is_local_socket();
    }
    switch (connection) {
    case HbaRule::Connection::hostssl: return request.tls;
    case HbaRule::Connection::hostnossl: return !request.tls;
    case HbaRule::Connection::hostgssenc: return false; // GSSAPI encryption is never agreed to
    default: return true;
    }
}

bool database_matches(const HbaRule::Name &name, const HbaRequest &request) {
    if (request.replication == Replication::physical) {
        return name.kind == HbaRule::Name::Kind::replication;
    }
    switch (name.kind) {
    case HbaRule::Name::Kind::all: return true;
    case HbaRule::Name::Kind::sameuser: return request.database == request.user;
    case HbaRule::Name::Kind::replication: return false;
    case HbaRule::Name::Kind::literal: break;
    }
    return name.text == request.database;
}

} // namespace

bool AddressRange::contains(const PeerAddress &address) const {
    if (address.family != base.family || address.is_local_socket()) {
        return false;
    }
    for (size_t i = 0; i < static_cast<size_t>(address.width()) / 8; i++) {
        if (((address.bytes[i] ^ base.bytes[i]) & mask.bytes[i]) != 0) {
            return false;
        }
    }
    return true;
}

bool HbaRule::matches(const HbaRequest &request) const {
    const bool from_there =
        connection_matches(connection, request) &&
        (connection == Connection::local || peers == Peers::all ||
         std::any_of(ranges.begin(), ranges.end(), [&](const auto &range) { return range.contains(request.address); }));
    return from_there &&
           std::any_of(databases.begin(), databases.end(),
                       [&](const Name &n) { return database_matches(n, request); }) &&
           std::any_of(users.begin(), users.end(),
                       [&](const Name &n) { return n.kind == Name::Kind::all || n.text == request.user; });
}

std::optional<HbaRules> HbaRules::load(const std::string &path, FileProblems &problems) {
    unsigned mode = 0;
    const auto text = read_auth_file(path, mode, problems);
    if (!text) {
        return std::nullopt;
    }
    const auto interfaces = local_interfaces();
    if (!interfaces) {
        problems.errors.push_back(path + ": " + interfaces.error().message);
        return std::nullopt;
    }
    return parse(text->view(), path, *interfaces, problems);
}

std::optional<HbaRules> HbaRules::parse(std::string_view text, std::string_view name,
                                        const std::vector<AddressRange> &interfaces, FileProblems &problems) {
    HbaRules out;
    int line_number = 1;
    bool bad = false;
    while (!text.empty()) {
        int lines = 0;
        const std::string line = take_hba_line(text, lines);
        auto fields = split_hba_line(line);
        Result<HbaRule> rule = fields ? Result<HbaRule>(HbaRule{}) : Result<HbaRule>(fields.error());
        const bool nothing = fields && fields->empty();
        if (fields && !nothing) {
            rule = parse_hba_rule(std::move(*fields), interfaces);
        }
        if (!rule) {
            problems.errors.push_back(std::string(name) + ":" + std::to_string(line_number) + ": " +
                                      rule.error().message);
            bad = true;
        } else if (!nothing) {
            rule->line = line_number;
            out.rules_.push_back(std::move(*rule));
        }
        line_number += lines;
    }
    if (!bad && out.rules_.empty()) {
        problems.errors.push_back(std::string(name) + ": contains no entries");
        bad = true;
    }
    if (bad) {
        return std::nullopt;
    }
    return out;
}

const HbaRule *HbaRules::find(const HbaRequest &request) const {
    const auto found =
        std::find_if(rules_.begin(), rules_.end(), [&](const HbaRule &rule) { return rule.matches(request); });
    return found == rules_.end() ? nullptr : &*found;
}

AuthError hba_refusal(const HbaRequest &request, const HbaRule *rule) {
    const bool physical = request.replication == Replication::physical;
    std::string message = rule != nullptr ? physical ? "pool_hba.conf rejects replication connection for host \""
                                                     : "pool_hba.conf rejects connection for host \""
                          : physical      ? "no pool_hba.conf entry for replication connection from host \""
                                          : "no pool_hba.conf entry for host \"";
    message += request.address.text() + "\", user \"" + std::string(request.user) + "\", ";
    if (!physical) {
        message += "database \"" + std::string(request.database) + "\", ";
    }
    message += request.tls ? "SSL encryption" : "no encryption";
    return {.sqlstate = "28000",
            .message = std::move(message),
            .detail = {},
            .log_detail = rule != nullptr ? "pool_hba line " + std::to_string(rule->line) : std::string()};
}

} // namespace pgbalancer
