// auth_hba.h: pool_hba, the rules that say who may come from where and how he proves who he is.
//
// PostgreSQL's pg_hba.conf, manual "The pg_hba.conf File": `local|host|hostssl|hostnossl|hostgssenc|hostnogssenc
// database user [address [mask]] method [options]`; quoting, comments, continuation lines, lists, all, sameuser,
// replication, samehost, samenet. Refused with file and line, because a rule that silently never matches would open
// a door: host names, +role, @file, regular expressions, includes, other methods.
// Immutable; a reload makes a new one and keeps the old if there are errors. Worker process; load() blocks on the disk
// and reads the addresses of the network interfaces, decide() does neither.
#pragma once

#include "child/auth_address.h"
#include "child/auth_error.h"
#include "child/auth_file.h"
#include "config/config.h"

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pgbalancer {

// An address range. Local addresses have none.
struct AddressRange {
    PeerAddress base;
    PeerAddress mask;
    bool contains(const PeerAddress &address) const;
};

enum class Replication : uint8_t {
    none,
    physical, // replication=true: only the keyword `replication` matches
    logical,  // replication=database: matches as its database does
};

struct HbaRequest {
    PeerAddress address;
    std::string_view database;
    std::string_view user;
    Replication replication = Replication::none;
    bool tls = false;
};

struct HbaRule {
    enum class Connection : uint8_t { local, host, hostssl, hostnossl, hostgssenc, hostnogssenc };
    enum class Peers : uint8_t { all, ranges }; // `ranges` holds what samehost and samenet meant at load time
    struct Name {
        enum class Kind : uint8_t { literal, all, sameuser, replication };
        Kind kind = Kind::literal;
        std::string text;
    };
    Connection connection = Connection::local;
    std::vector<Name> databases;
    std::vector<Name> users;
    Peers peers = Peers::all;
    std::vector<AddressRange> ranges;
    bool reject = false;
    ClientAuthMethod method = ClientAuthMethod::scram_sha_256; // unless reject
    int line = 0;

    bool matches(const HbaRequest &request) const;
};

class HbaRules {
  public:
    // No rules: everybody is refused.
    HbaRules() = default;

    static std::optional<HbaRules> load(const std::string &path, FileProblems &problems);
    // `interfaces`: this host's addresses with their masks, for samehost and samenet.
    static std::optional<HbaRules> parse(std::string_view text, std::string_view name,
                                         const std::vector<AddressRange> &interfaces, FileProblems &problems);

    // The first rule that matches, or null: refused.
    const HbaRule *find(const HbaRequest &request) const;
    size_t size() const { return rules_.size(); }

  private:
    std::vector<HbaRule> rules_;
};

// 28000 in PostgreSQL's words, when find() gave a reject rule or (null) none.
AuthError hba_refusal(const HbaRequest &request, const HbaRule *rule);

} // namespace pgbalancer
