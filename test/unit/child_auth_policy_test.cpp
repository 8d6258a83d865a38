// Who is asked for what: every method with every kind of entry, towards clients and towards servers.
#include "child/auth_policy.h"

#include "unit/cmocka_cpp.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/un.h>

namespace {

using namespace pgbalancer;
using Method = ClientAuthMethod;

const char *name_of(ClientAuthDecision::Exchange exchange) {
    switch (exchange) {
    case ClientAuthDecision::Exchange::none: return "none";
    case ClientAuthDecision::Exchange::cleartext_password: return "cleartext";
    case ClientAuthDecision::Exchange::md5_password: return "md5";
    case ClientAuthDecision::Exchange::sasl_scram: return "scram";
    }
    return "?";
}

void clients_are_asked_for_what_their_entry_can_check(void **) {
    const Secret plain = PlainSecret{SecretText("pencil")};
    const Secret md5 = Md5Secret{SecretText(std::string(32, '0'))};
    const Secret verifier = ScramVerifier{};
    struct Case {
        Method method;
        const Secret *secret;
        const char *exchange;
        const char *doomed; // the log's detail, or empty
    };
    const char *no_entry = "User \"u\" has no entry in pool_passwd.";
    const Case cases[] = {
        {Method::trust, nullptr, "none", ""},
        {Method::trust, &md5, "none", ""},
        {Method::password, nullptr, "cleartext", no_entry},
        {Method::password, &plain, "cleartext", ""},
        {Method::password, &md5, "cleartext", ""},
        {Method::password, &verifier, "cleartext", ""},
        {Method::md5, nullptr, "md5", no_entry},
        {Method::md5, &plain, "md5", ""},
        {Method::md5, &md5, "md5", ""},
        {Method::md5, &verifier, "scram", ""},
        {Method::scram_sha_256, nullptr, "scram", no_entry},
        {Method::scram_sha_256, &plain, "scram", ""},
        {Method::scram_sha_256, &md5, "scram",
         "User \"u\" has an md5 entry in pool_passwd, which scram-sha-256 cannot use."},
        {Method::scram_sha_256, &verifier, "scram", ""},
    };
    for (const Case &c : cases) {
        const ClientAuthDecision decision = decide_client_auth(c.method, "u", c.secret);
        assert_string_equal(name_of(decision.exchange), c.exchange);
        assert_string_equal(decision.log_detail.c_str(), c.doomed);
        assert_int_equal(decision.doomed, *c.doomed != '\0');
    }
}

void servers_are_answered_with_what_there_is(void **) {
    const Secret plain = PlainSecret{SecretText("pencil")};
    const Secret md5 = Md5Secret{SecretText(std::string(32, '0'))};
    const Secret verifier = ScramVerifier{};
    using Request = ServerAuthRequest;
    struct Case {
        Request request;
        const Secret *secret;
        bool have_client_key;
        bool possible;
    };
    const Case cases[] = {
        {Request::cleartext_password, nullptr, false, false},
        {Request::md5_password, nullptr, false, false},
        {Request::sasl_scram, nullptr, false, false},
        {Request::cleartext_password, &plain, false, true},
        {Request::md5_password, &plain, false, true},
        {Request::sasl_scram, &plain, false, true},
        {Request::cleartext_password, &md5, false, false},
        {Request::md5_password, &md5, false, true},
        {Request::sasl_scram, &md5, false, false},
        {Request::sasl_scram, &md5, true, false},
        {Request::cleartext_password, &verifier, true, false},
        {Request::md5_password, &verifier, true, false},
        {Request::sasl_scram, &verifier, false, false},
        {Request::sasl_scram, &verifier, true, true},
    };
    for (const Case &c : cases) {
        const Status status = decide_server_auth(c.request, "u", c.secret, c.have_client_key);
        assert_int_equal(static_cast<bool>(status), c.possible);
        if (!c.possible) {
            assert_true(status.error().message.starts_with("cannot log in to the server as user \"u\": "));
            assert_string_equal(status.error().sqlstate.c_str(), "28000");
        }
    }
}

void trust_is_for_this_host(void **) {
    struct Case {
        const char *address;
        bool trusted;
    };
    const Case cases[] = {
        {"127.0.0.1", true},
        {"127.255.255.255", true},
        {"::1", true},
        {"::ffff:127.0.0.1", true},
        {"128.0.0.1", false},
        {"10.0.0.1", false},
        {"126.255.255.255", false},
        {"::", false},
        {"::2", false},
        {"fe80::1", false},
        {"1::1", false},
        {"::ffff:10.0.0.1", false},
        {"0.0.0.0", false},
        {"::127.0.0.1", false},
    };
    for (const Case &c : cases) {
        const auto address = PeerAddress::from_text(c.address);
        assert_true(address.has_value());
        assert_int_equal(trust_allowed(*address, false), c.trusted);
        assert_true(trust_allowed(*address, true));
    }
    assert_true(trust_allowed(PeerAddress{}, false)); // a Unix-domain socket
}

template <class T> std::string peer(const T &address, size_t size = sizeof(T)) {
    const auto parsed =
        PeerAddress::from_sockaddr(reinterpret_cast<const sockaddr *>(&address), static_cast<socklen_t>(size));
    return parsed ? parsed->text() : "nothing";
}

void socket_addresses_are_read(void **) {
    sockaddr_un local{};
    local.sun_family = AF_UNIX;
    sockaddr_in in{};
    in.sin_family = AF_INET;
    inet_pton(AF_INET, "192.0.2.7", &in.sin_addr);
    sockaddr_in6 in6{};
    in6.sin6_family = AF_INET6;
    inet_pton(AF_INET6, "2001:db8::7", &in6.sin6_addr);
    sockaddr_in6 mapped = in6;
    inet_pton(AF_INET6, "::ffff:192.0.2.7", &mapped.sin6_addr);
    sockaddr_in other{};
    other.sin_family = AF_APPLETALK;
    // An unnamed Unix-domain peer has an address of two bytes.
    const std::pair<std::string, const char *> cases[] = {
        {peer(local), "[local]"},
        {peer(local, sizeof(sa_family_t)), "[local]"},
        {peer(in), "192.0.2.7"},
        {peer(in6), "2001:db8::7"},
        {peer(mapped), "192.0.2.7"},
        {peer(in, sizeof in - 1), "nothing"},
        {peer(in6, sizeof in6 - 1), "nothing"},
        {peer(local, 1), "nothing"},
        {peer(other), "nothing"},
    };
    for (const auto &[got, expected] : cases) {
        assert_string_equal(got.c_str(), expected);
    }
}

void only_numeric_addresses_are_read(void **) {
    for (const std::string_view text :
         {std::string_view("localhost"), std::string_view(""), std::string_view("10.0.0"),
          std::string_view("10.0.0.256"), std::string_view("::1%lo"), std::string_view("1::1::1"),
          std::string_view("10.0.0.1\0", 9),
          std::string_view("0000000000000000000000000000000000000000000000000000000000001::")}) {
        const bool read = PeerAddress::from_text(text).has_value();
        assert_false(read);
    }
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(clients_are_asked_for_what_their_entry_can_check),
        cmocka_unit_test(servers_are_answered_with_what_there_is),
        cmocka_unit_test(trust_is_for_this_host),
        cmocka_unit_test(socket_addresses_are_read),
        cmocka_unit_test(only_numeric_addresses_are_read),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
