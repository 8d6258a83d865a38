// pool_hba: any file is either read or refused with a reason, and no rule lets in those it does not name.
#include "child/auth_hba.h"

#include <cstdlib>

namespace {

using namespace pgbalancer;

void meet(const HbaRules &rules, const HbaRequest &request) {
    const HbaRule *rule = rules.find(request);
    if (rule == nullptr || rule->reject) {
        if (hba_refusal(request, rule).sqlstate != "28000") {
            abort();
        }
        return;
    }
    using Connection = HbaRule::Connection;
    const bool local = rule->connection == Connection::local;
    if (!rule->matches(request) || local != request.address.is_local_socket() ||
        (rule->connection == Connection::hostssl && !request.tls) ||
        (rule->connection == Connection::hostnossl && request.tls) || rule->connection == Connection::hostgssenc) {
        abort();
    }
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const std::string_view text(reinterpret_cast<const char *>(data), size);
    const auto four = PeerAddress::from_text("10.1.2.3");
    const auto six = PeerAddress::from_text("2001:db8::1");
    const std::vector<AddressRange> interfaces = {{*four, *PeerAddress::from_text("255.255.255.0")}};
    FileProblems problems;
    const auto rules = HbaRules::parse(text, "f", interfaces, problems);
    if (rules.has_value() != problems.errors.empty()) {
        abort();
    }
    if (rules) {
        for (const PeerAddress &address : {PeerAddress{}, *four, *six}) {
            for (const Replication replication : {Replication::none, Replication::physical, Replication::logical}) {
                meet(*rules, {address, "d", "u", replication, false});
                meet(*rules, {address, "u", "u", replication, true});
            }
        }
    }
    return 0;
}
