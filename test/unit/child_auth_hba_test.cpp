// pool_hba: PostgreSQL's notation, its errors, and which rule a client meets.
#include "child/auth_hba.h"
#include "child/auth_hba_lexer.h"

#include "unit/cmocka_cpp.h"

#include <cstdlib>
#include <unistd.h>

namespace {

using namespace pgbalancer;

AddressRange range(std::string_view base, std::string_view mask) {
    return {*PeerAddress::from_text(base), *PeerAddress::from_text(mask)};
}

const std::vector<AddressRange> &interfaces() {
    static const std::vector<AddressRange> all = {range("127.0.0.1", "255.0.0.0"),
                                                  range("192.168.7.9", "255.255.255.0"),
                                                  range("fd00::9", "ffff:ffff:ffff:ffff::")};
    return all;
}

// Tokens are shown as <text>, quoted ones as "text", fields separated by blanks, their tokens by commas.
std::string fields_of(std::string_view line) {
    const auto fields = split_hba_line(line);
    if (!fields) {
        return "error " + fields.error().message;
    }
    std::string out;
    for (const HbaField &field : *fields) {
        for (size_t i = 0; i < field.size(); i++) {
            out += (i == 0 ? "" : ",") + (field[i].quoted ? "\"" + field[i].text + "\"" : "<" + field[i].text + ">");
        }
        out += " ";
    }
    return out;
}

// As PostgreSQL 15 splits them (pg_hba_file_rules)
void lines_are_split_as_postgresql_does(void **) {
    const std::pair<std::string_view, const char *> cases[] = {
        {"", ""},
        {" \t\r", ""},
        {"# all", ""},
        {"a b\tc\r", "<a> <b> <c> "},
        {"a,b c", "<a>,<b> <c> "},
        {"a, b c", "<a>,<b> <c> "},
        {"a ,b c", "<a> <b> <c> "},
        {",a,, b", "<a>,<b> "},
        {"a,", "<a> "},
        {"a b#c d", "<a> <b> "},
        {"\"a b,c#d\" e", "\"a b,c#d\" <e> "},
        {"db\"x y\"z", "<dbx yz> "},
        {"\"a\"\"b\"", "\"a\"b\" "},
        {"\"\" a", "\"\" <a> "},
        {"a\"#\"b", "<a#b> "},
        {"\"a\",b", "\"a\",<b> "},
        {"a \"b", "error unterminated quote"},
        {"\"\"\"", "error unterminated quote"},
    };
    for (const auto &[line, expected] : cases) {
        const std::string got = fields_of(line);
        assert_string_equal(got.c_str(), expected);
    }
}

struct Parsed {
    std::optional<HbaRules> rules;
    std::string errors;
};

Parsed parse(std::string_view text) {
    FileProblems problems;
    Parsed parsed;
    parsed.rules = HbaRules::parse(text, "f", interfaces(), problems);
    for (const std::string &error : problems.errors) {
        parsed.errors += error + "\n";
    }
    return parsed;
}

// PostgreSQL 15's texts where it refuses the same line; ours where it would accept what is not supported here
void every_line_that_is_wrong_is_named(void **) {
    const std::pair<std::string_view, const char *> cases[] = {
        {"local", "end-of-line before database specification"},
        {"local all", "end-of-line before role specification"},
        {"local all all", "end-of-line before authentication method"},
        {"host all all", "end-of-line before IP address specification"},
        {"host all all 10.0.0.1", "end-of-line before netmask specification"},
        {"host all all 10.0.0.1 255.0.0.0", "end-of-line before authentication method"},
        {"host all all 10.0.0.1/33 trust", "invalid CIDR mask in address \"10.0.0.1/33\""},
        {"host all all 10.0.0.1/-1 trust", "invalid CIDR mask in address \"10.0.0.1/-1\""},
        {"host all all 10.0.0.1/8x trust", "invalid CIDR mask in address \"10.0.0.1/8x\""},
        {"host all all 10.0.0.1/ trust", "invalid CIDR mask in address \"10.0.0.1/\""},
        {"host all all 10.0.0.1/99999999999 trust", "invalid CIDR mask in address \"10.0.0.1/99999999999\""},
        {"host all all ::/129 trust", "invalid CIDR mask in address \"::/129\""},
        {"host all all ::ffff:10.0.0.0/95 trust", "invalid CIDR mask in address \"::ffff:10.0.0.0/95\""},
        {"host all all 10.0.0.1 ffff:: trust", "IP address and mask do not match"},
        {"host all all 10.0.0.1 255.255.x trust", "invalid IP mask \"255.255.x\""},
        {"host all all 10.0.0.1,10.0.0.2 255.0.0.0 trust", "multiple values specified for host address"},
        {"host all all samenet,samehost trust", "multiple values specified for host address"},
        {"host,local all all all trust", "multiple values specified for connection type"},
        {"foo all all all trust", "invalid connection type \"foo\""},
        {"include other.conf", "\"include\" is not supported"},
        {"host all all all foo", "invalid authentication method \"foo\""},
        {"host all all all peer", "authentication method \"peer\" is not supported"},
        {"host all all all trust,md5", "multiple values specified for authentication type"},
        {"host all all all trust x", "authentication option not in name=value format: x"},
        {"host all all all trust x=y", "authentication option \"x\" is not supported"},
        {"host all all db.example.org trust", "invalid IP address \"db.example.org\" (host names are not supported)"},
        {"host all all .example.org trust", "invalid IP address \".example.org\" (host names are not supported)"},
        {"host all all \"all\" trust", "invalid IP address \"all\" (host names are not supported)"},
        {"host all +admins all trust", "membership of a role is not supported: \"+admins\""},
        {"host all a,@admins all trust", "including a file is not supported: \"@admins\""},
        {"host @dbs all all trust", "including a file is not supported: \"@dbs\""},
        {"host /^db all all trust", "regular expressions are not supported: \"/^db\""},
        {"host all \"/^a\" all trust", "regular expressions are not supported: \"/^a\""},
        {"host samerole all all trust", "\"samerole\" is not supported"},
        {"host \"a all all trust", "unterminated quote"},
    };
    std::string text;
    std::string expected;
    int line = 0;
    for (const auto &[wrong, message] : cases) {
        const Parsed alone = parse(wrong);
        const std::string error = std::string("f:1: ") + message + "\n";
        assert_string_equal(alone.errors.c_str(), error.c_str());
        assert_false(alone.rules.has_value());
        text += "local all all trust\n" + std::string(wrong) + " # wrong\n";
        line += 2;
        // The comment is part of an unterminated quote, not of the message.
        expected += "f:" + std::to_string(line) + ": " + message + "\n";
    }
    const Parsed together = parse(text);
    const Parsed nothing = parse("# nothing\n\n");
    assert_string_equal(together.errors.c_str(), expected.c_str());
    assert_false(together.rules.has_value());
    assert_string_equal(nothing.errors.c_str(), "f: contains no entries\n");
}

void lines_may_be_continued(void **) {
    const Parsed parsed =
        parse("# a comment goes on \\\n too\nlocal \\\r\n  all all \\\ntrust\nhost all all all foo\n");
    const Parsed good = parse("\n\nlocal \\\n all all trust");
    assert_string_equal(parsed.errors.c_str(), "f:6: invalid authentication method \"foo\"\n");
    assert_true(good.rules.has_value());
    assert_int_equal(good.rules->find({})->line, 3);
}

struct Client {
    std::string_view address; // empty: a Unix-domain socket
    std::string_view database;
    std::string_view user;
    Replication replication = Replication::none;
    bool tls = false;
};

HbaRequest request(const Client &client) {
    HbaRequest out;
    out.address = client.address.empty() ? PeerAddress{} : *PeerAddress::from_text(client.address);
    out.database = client.database;
    out.user = client.user;
    out.replication = client.replication;
    out.tls = client.tls;
    return out;
}

// Does the one rule match the client?
bool matches(std::string_view rule, const Client &client) {
    const Parsed parsed = parse(rule);
    return parsed.rules && parsed.rules->find(request(client)) != nullptr;
}

void rules_match_connections(void **) {
    struct Case {
        std::string_view rule;
        Client client;
        bool match;
    };
    const Client local{"", "d", "u"};
    const Client four{"10.1.2.3", "d", "u"};
    const Client six{"2001:db8::1", "d", "u"};
    const Client four_tls{"10.1.2.3", "d", "u", Replication::none, true};
    const Case cases[] = {
        {"local all all trust", local, true},
        {"local all all trust", four, false},
        {"host all all all trust", local, false},
        {"host all all all trust", four, true},
        {"host all all all trust", six, true},
        {"host all all all trust", four_tls, true},
        {"hostssl all all all trust", four, false},
        {"hostssl all all all trust", four_tls, true},
        {"hostnossl all all all trust", four, true},
        {"hostnossl all all all trust", four_tls, false},
        {"hostgssenc all all all trust", four, false},
        {"hostnogssenc all all all trust", four, true},
        {"host all all 10.0.0.0/8 trust", four, true},
        {"host all all 10.1.2.3/32 trust", four, true},
        {"host all all 10.1.2.2/32 trust", four, false},
        {"host all all 10.1.2.2/31 trust", four, true},
        {"host all all 10.255.255.255/8 trust", four, true}, // host bits do not count
        {"host all all 11.0.0.0/8 trust", four, false},
        {"host all all 10.1.0.0/15 trust", four, true},
        {"host all all 10.4.0.0/15 trust", four, false},
        {"host all all 0.0.0.0/0 trust", four, true},
        {"host all all 0.0.0.0/0 trust", six, false},
        {"host all all ::/0 trust", six, true},
        {"host all all ::/0 trust", four, false},
        {"host all all 10.0.0.0 255.0.0.0 trust", four, true},
        {"host all all 10.0.0.3 255.0.0.255 trust", four, true},
        {"host all all 10.0.0.4 255.0.0.255 trust", four, false},
        {"host all all 2001:db8::/32 trust", six, true},
        {"host all all 2001:db9::/32 trust", six, false},
        {"host all all 2001:db8::1/128 trust", six, true},
        {"host all all 2001:db8:: ffff:ffff:: trust", six, true},
        {"host all all ::ffff:10.0.0.0/104 trust", four, true}, // 10.0.0.0/8
        {"host all all 10.0.0.0/8 trust", {"::ffff:10.9.9.9", "d", "u"}, true},
        {"host all all samehost trust", {"192.168.7.9", "d", "u"}, true},
        {"host all all samehost trust", {"192.168.7.8", "d", "u"}, false},
        {"host all all samehost trust", {"fd00::9", "d", "u"}, true},
        {"host all all samenet trust", {"192.168.7.8", "d", "u"}, true},
        {"host all all samenet trust", {"192.168.8.8", "d", "u"}, false},
        {"host all all samenet trust", {"fd00::1234", "d", "u"}, true},
    };
    for (const Case &c : cases) {
        const bool match = matches(c.rule, c.client);
        if (match != c.match) {
            print_error("%s\n", std::string(c.rule).c_str());
        }
        assert_int_equal(match, c.match);
    }
}

void rules_match_names(void **) {
    constexpr auto kPhysical = Replication::physical;
    constexpr auto kLogical = Replication::logical;
    struct Case {
        std::string_view rule;
        Client client;
        bool match;
    };
    const Case cases[] = {
        {"local d u trust", {"", "d", "u"}, true},
        {"local d u trust", {"", "D", "u"}, false},
        {"local d u trust", {"", "d", "U"}, false},
        {"local a,d b,u trust", {"", "d", "u"}, true},
        {"local a, d b, u trust", {"", "d", "b"}, true},
        {"local sameuser all trust", {"", "u", "u"}, true},
        {"local sameuser all trust", {"", "d", "u"}, false},
        {"local \"sameuser\" all trust", {"", "u", "u"}, false},
        {"local \"sameuser\" all trust", {"", "sameuser", "u"}, true},
        {"local \"all\" all trust", {"", "d", "u"}, false},
        {"local \"all\" \"all\" trust", {"", "all", "all"}, true},
        {"local all \"all\" trust", {"", "d", "u"}, false},
        {"local all \"+u\" trust", {"", "d", "+u"}, true},
        {"local \"my db\" all trust", {"", "my db", "u"}, true},
        {"local all sameuser trust", {"", "u", "u"}, false}, // no keyword there
        {"local all all trust", {"", "d", "u", kPhysical}, false},
        {"local d all trust", {"", "d", "u", kPhysical}, false},
        {"local replication all trust", {"", "d", "u", kPhysical}, true},
        {"local replication u trust", {"", "", "v", kPhysical}, false},
        {"local \"replication\" all trust", {"", "d", "u", kPhysical}, false},
        {"local replication all trust", {"", "d", "u", kLogical}, false},
        {"local all all trust", {"", "d", "u", kLogical}, true},
        {"local replication all trust", {"", "replication", "u"}, false},
        {"local \"replication\" all trust", {"", "replication", "u"}, true},
    };
    for (const Case &c : cases) {
        const bool match = matches(c.rule, c.client);
        if (match != c.match) {
            print_error("%s\n", std::string(c.rule).c_str());
        }
        assert_int_equal(match, c.match);
    }
}

void the_first_match_decides(void **) {
    const Parsed parsed = parse("host all mallory all reject\n"
                                "host d    all 10.0.0.0/8 md5\n"
                                "host d    all 10.0.0.0/8 trust\n"
                                "host all  all all scram-sha-256\n"
                                "local all all password\n");
    const auto line = [&](const Client &client) {
        const HbaRule *rule = parsed.rules->find(request(client));
        return rule == nullptr ? 0 : rule->line;
    };
    const auto method = [&](const Client &client) { return parsed.rules->find(request(client))->method; };
    assert_true(parsed.rules.has_value());
    assert_int_equal(parsed.rules->size(), 5);
    assert_int_equal(line({"10.0.0.1", "d", "mallory"}), 1);
    assert_int_equal(line({"10.0.0.1", "d", "u"}), 2);
    assert_int_equal(line({"11.0.0.1", "d", "u"}), 4);
    assert_int_equal(line({"10.0.0.1", "e", "u"}), 4);
    assert_int_equal(line({"", "d", "mallory"}), 5);
    assert_int_equal(line({"10.0.0.1", "d", "u", Replication::physical}), 0);
    assert_true(parsed.rules->find(request({"10.0.0.1", "d", "mallory"}))->reject);
    assert_int_equal(method({"10.0.0.1", "d", "u"}), ClientAuthMethod::md5);
    assert_int_equal(method({"11.0.0.1", "d", "u"}), ClientAuthMethod::scram_sha_256);
    assert_int_equal(method({"", "d", "u"}), ClientAuthMethod::password);
    assert_null(HbaRules().find(request({"", "d", "u"})));
}

void refusals_are_worded_as_postgresql_does(void **) {
    HbaRule reject;
    reject.reject = true;
    reject.line = 7;
    const Client four{"10.0.0.1", "d", "u"};
    const Client physical{"10.0.0.1", "d", "u", Replication::physical};
    const Client logical{"10.0.0.1", "d", "u", Replication::logical};
    const Client tls{"2001:db8::1", "d", "u", Replication::none, true};
    const std::pair<AuthError, const char *> cases[] = {
        {hba_refusal(request(four), nullptr),
         "no pool_hba.conf entry for host \"10.0.0.1\", user \"u\", database \"d\", no encryption"},
        {hba_refusal(request({"", "d", "u"}), nullptr),
         "no pool_hba.conf entry for host \"[local]\", user \"u\", database \"d\", no encryption"},
        {hba_refusal(request(physical), nullptr),
         "no pool_hba.conf entry for replication connection from host \"10.0.0.1\", user \"u\", no encryption"},
        {hba_refusal(request(logical), nullptr),
         "no pool_hba.conf entry for host \"10.0.0.1\", user \"u\", database \"d\", no encryption"},
        {hba_refusal(request(four), &reject),
         "pool_hba.conf rejects connection for host \"10.0.0.1\", user \"u\", database \"d\", no encryption"},
        {hba_refusal(request(physical), &reject),
         "pool_hba.conf rejects replication connection for host \"10.0.0.1\", user \"u\", no encryption"},
        {hba_refusal(request(tls), nullptr),
         "no pool_hba.conf entry for host \"2001:db8::1\", user \"u\", database \"d\", SSL encryption"},
    };
    for (const auto &[error, expected] : cases) {
        assert_string_equal(error.message.c_str(), expected);
        assert_string_equal(error.sqlstate.c_str(), "28000");
    }
}

// What a file cut off in the middle means is either less or an error, never a rule that was not written.
void a_file_cut_anywhere_is_read_or_refused(void **) {
    const std::string text = "host \"a b\",c u 10.0.0.0 255.0.0.0 scram-sha-256 # c\nhost all all ::1/128 reject\n";
    size_t inconsistent = 0;
    size_t let_in = 0;
    for (size_t size = 0; size <= text.size(); size++) {
        const Parsed parsed = parse(std::string_view(text).substr(0, size));
        inconsistent += parsed.rules.has_value() == parsed.errors.empty() ? 0 : 1;
        if (parsed.rules) {
            const HbaRule *rule = parsed.rules->find(request({"10.0.0.1", "c", "u"}));
            let_in += rule == nullptr || rule->method != ClientAuthMethod::scram_sha_256 ? 1 : 0;
        }
    }
    assert_int_equal(inconsistent, 0);
    assert_int_equal(let_in, 0);
}

void the_file_and_the_interfaces_are_read(void **) {
    char path[] = "/tmp/pgbalancer_hba_XXXXXX";
    const int fd = mkstemp(path);
    const std::string_view text = "host all all samenet trust\n";
    const bool written = write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size());
    close(fd);
    FileProblems problems;
    const auto rules = HbaRules::load(path, problems);
    unlink(path);
    const auto missing = HbaRules::load(path, problems);
    const bool loopback = rules && rules->find(request({"127.0.0.2", "d", "u"})) != nullptr;
    const bool elsewhere = rules && rules->find(request({"203.0.113.1", "d", "u"})) != nullptr;
    assert_true(written);
    assert_true(loopback);
    assert_false(elsewhere);
    assert_false(missing.has_value());
    assert_int_equal(problems.errors.size(), 1);
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(lines_are_split_as_postgresql_does),
        cmocka_unit_test(every_line_that_is_wrong_is_named),
        cmocka_unit_test(lines_may_be_continued),
        cmocka_unit_test(rules_match_connections),
        cmocka_unit_test(rules_match_names),
        cmocka_unit_test(the_first_match_decides),
        cmocka_unit_test(refusals_are_worded_as_postgresql_does),
        cmocka_unit_test(a_file_cut_anywhere_is_read_or_refused),
        cmocka_unit_test(the_file_and_the_interfaces_are_read),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
