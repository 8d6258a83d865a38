#include "child/auth_hba_parser.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <string_view>
#include <utility>

namespace pgbalancer {

namespace {

PeerAddress prefix_mask(PeerAddress::Family family, int bits) {
    PeerAddress mask;
    mask.family = family;
    for (size_t i = 0; bits > 0; i++, bits -= 8) {
        mask.bytes[i] = bits >= 8 ? 0xFF : static_cast<unsigned char>(0xFF << (8 - bits));
    }
    return mask;
}

// One line's fields, taken from left to right. The first error sticks.
class RuleParser {
  public:
    RuleParser(std::vector<HbaField> fields, const std::vector<AddressRange> &interfaces)
        : fields_(std::move(fields)), interfaces_(interfaces) {}

    Result<HbaRule> parse() {
        parse_connection();
        parse_names("database specification", rule_.databases, &RuleParser::database_name);
        parse_names("role specification", rule_.users, &RuleParser::user_name);
        if (rule_.connection != HbaRule::Connection::local) {
            parse_address();
        }
        parse_method();
        parse_options();
        if (!error_.empty()) {
            return Error{error_, ""};
        }
        return std::move(rule_);
    }

  private:
    using Name = HbaRule::Name;

    void fail(std::string what) {
        if (error_.empty()) {
            error_ = std::move(what);
        }
    }

    // The next field; null, with an error in PostgreSQL's words, at the end of the line.
    const HbaField *next(const char *before) {
        if (!error_.empty()) {
            return nullptr;
        }
        if (at_ == fields_.size()) {
            fail(std::string("end-of-line before ") + before);
            return nullptr;
        }
        return &fields_[at_++];
    }

    const HbaToken *next_single(const char *before, const char *what) {
        const HbaField *field = next(before);
        if (field != nullptr && field->size() > 1) {
            fail(std::string("multiple values specified for ") + what);
            return nullptr;
        }
        return field == nullptr ? nullptr : &field->front();
    }

    void parse_connection() {
        static constexpr std::pair<std::string_view, HbaRule::Connection> kConnections[] = {
            {"local", HbaRule::Connection::local},           {"host", HbaRule::Connection::host},
            {"hostssl", HbaRule::Connection::hostssl},       {"hostnossl", HbaRule::Connection::hostnossl},
            {"hostgssenc", HbaRule::Connection::hostgssenc}, {"hostnogssenc", HbaRule::Connection::hostnogssenc}};
        const HbaToken *token = next_single("connection type", "connection type");
        if (token == nullptr) {
            return;
        }
        for (const auto &[name, connection] : kConnections) {
            if (token->text == name) {
                rule_.connection = connection;
                return;
            }
        }
        if (token->text == "include" || token->text == "include_if_exists" || token->text == "include_dir") {
            fail("\"" + token->text + "\" is not supported");
            return;
        }
        fail("invalid connection type \"" + token->text + "\"");
    }

    void parse_names(const char *before, std::vector<Name> &out, Name (RuleParser::*classify)(const HbaToken &)) {
        const HbaField *field = next(before);
        if (field == nullptr) {
            return;
        }
        for (const HbaToken &token : *field) {
            // A rule that would silently never match opens a door if it is a reject rule.
            if (token.text.starts_with('/')) {
                fail("regular expressions are not supported: \"" + token.text + "\"");
            } else if (!token.quoted && token.text.starts_with('+')) {
                fail("membership of a role is not supported: \"" + token.text + "\"");
            } else if (!token.quoted && token.text.starts_with('@')) {
                fail("including a file is not supported: \"" + token.text + "\"");
            }
            out.push_back((this->*classify)(token));
        }
    }

    Name database_name(const HbaToken &token) {
        if (token.is("samerole") || token.is("samegroup")) {
            fail("\"" + token.text + "\" is not supported");
        }
        const auto kind = token.is("all")           ? Name::Kind::all
                          : token.is("sameuser")    ? Name::Kind::sameuser
                          : token.is("replication") ? Name::Kind::replication
                                                    : Name::Kind::literal;
        return {kind, token.text};
    }

    Name user_name(const HbaToken &token) {
        return {token.is("all") ? Name::Kind::all : Name::Kind::literal, token.text};
    }

    void parse_address() {
        const HbaToken *token = next_single("IP address specification", "host address");
        if (token == nullptr || token->is("all")) {
            return;
        }
        rule_.peers = HbaRule::Peers::ranges;
        if (token->is("samehost") || token->is("samenet")) {
            rule_.ranges = interfaces_;
            if (token->is("samehost")) {
                for (AddressRange &range : rule_.ranges) {
                    range.mask = prefix_mask(range.base.family, range.base.width());
                }
            }
            return;
        }
        const size_t slash = token->text.find('/');
        const std::string_view host = std::string_view(token->text).substr(0, slash);
        const auto base = PeerAddress::from_text(host);
        if (!base) {
            fail("invalid IP address \"" + std::string(host) + "\" (host names are not supported)");
            return;
        }
        const auto mask = slash == std::string::npos
                              ? separate_mask(base->family)
                              : cidr_mask(*base, host, std::string_view(token->text).substr(slash + 1));
        if (mask) {
            rule_.ranges = {{*base, *mask}};
        }
    }

    std::optional<PeerAddress> cidr_mask(const PeerAddress &base, std::string_view host, std::string_view text) {
        int bits = -1;
        const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), bits);
        // ::ffff:10.0.0.0/104 is 10.0.0.0/8
        const bool mapped = base.family == PeerAddress::Family::ipv4 && host.find(':') != std::string_view::npos;
        bits -= mapped ? 96 : 0;
        if (code != std::errc() || end != text.data() + text.size() || bits < 0 || bits > base.width()) {
            fail("invalid CIDR mask in address \"" + std::string(host) + "/" + std::string(text) + "\"");
            return std::nullopt;
        }
        return prefix_mask(base.family, bits);
    }

    std::optional<PeerAddress> separate_mask(PeerAddress::Family family) {
        const HbaToken *token = next_single("netmask specification", "netmask");
        if (token == nullptr) {
            return std::nullopt;
        }
        const auto mask = PeerAddress::from_text(token->text);
        if (!mask) {
            fail("invalid IP mask \"" + token->text + "\"");
        } else if (mask->family != family) {
            fail("IP address and mask do not match");
        }
        return mask;
    }

    void parse_method() {
        static constexpr std::pair<std::string_view, ClientAuthMethod> kMethods[] = {
            {"trust", ClientAuthMethod::trust},
            {"scram-sha-256", ClientAuthMethod::scram_sha_256},
            {"md5", ClientAuthMethod::md5},
            {"password", ClientAuthMethod::password}};
        static constexpr std::string_view kElsewhere[] = {"gss",  "sspi", "ident",  "peer", "pam",
                                                          "ldap", "bsd",  "radius", "cert"};
        const HbaToken *token = next_single("authentication method", "authentication type");
        if (token == nullptr) {
            return;
        }
        if (token->text == "reject") {
            rule_.reject = true;
            return;
        }
        for (const auto &[name, method] : kMethods) {
            if (token->text == name) {
                rule_.method = method;
                return;
            }
        }
        const bool known = std::find(std::begin(kElsewhere), std::end(kElsewhere), token->text) != std::end(kElsewhere);
        fail(known ? "authentication method \"" + token->text + "\" is not supported"
                   : "invalid authentication method \"" + token->text + "\"");
    }

    // None of the methods has an option, but for clientcert, which belongs to hostssl and hence to TLS.
    void parse_options() {
        while (error_.empty() && at_ < fields_.size()) {
            for (const HbaToken &token : fields_[at_++]) {
                const size_t equals = token.text.find('=');
                fail(equals == std::string::npos
                         ? "authentication option not in name=value format: " + token.text
                         : "authentication option \"" + token.text.substr(0, equals) + "\" is not supported");
            }
        }
    }

    std::vector<HbaField> fields_;
    const std::vector<AddressRange> &interfaces_;
    size_t at_ = 0;
    HbaRule rule_;
    std::string error_;
};

} // namespace

Result<HbaRule> parse_hba_rule(std::vector<HbaField> fields, const std::vector<AddressRange> &interfaces) {
    return RuleParser(std::move(fields), interfaces).parse();
}

} // namespace pgbalancer
