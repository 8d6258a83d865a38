// The notations of pool_passwd, and SASLprep.
#include "child/auth_saslprep.h"
#include "child/auth_secret.h"

#include "unit/cmocka_cpp.h"

namespace {

using namespace pgbalancer;

// Made by PostgreSQL 15: CREATE ROLE ... PASSWORD 'pencil'.
constexpr char kVerifier[] = "SCRAM-SHA-256$4096:zUxLsUmyUEMeNnvEEVyX4g==$3C41uxn3LelLOQEhNS9s+qCtZAdhMO04w9fp2F2Ye6w=:"
                             "X7KZejE2SRdnzqx4vv4t03t0Mg63AF9WViWeOOEDl10=";

// "plain <password>", "md5 <digits>", "scram <notation>" or "error <message>"
std::string shown(std::string_view text) {
    const Result<Secret> secret = parse_secret(text);
    if (!secret) {
        return "error " + secret.error().message;
    }
    if (const auto *plain = std::get_if<PlainSecret>(&*secret)) {
        return "plain " + std::string(plain->password.view());
    }
    if (const auto *md5 = std::get_if<Md5Secret>(&*secret)) {
        return "md5 " + std::string(md5->hex.view());
    }
    return "scram " + format_verifier(std::get<ScramVerifier>(*secret));
}

void notations_are_told_apart(void **) {
    const std::pair<std::string_view, std::string> cases[] = {
        {"pencil", "plain pencil"},
        {"TEXTpencil", "plain pencil"},
        {"TEXTTEXT", "plain TEXT"},
        {"TEXTmd538f591e5ee08fc954ca8f09e3078a243", "plain md538f591e5ee08fc954ca8f09e3078a243"},
        {"TEXTAESxyz", "plain AESxyz"},
        {"TEXTSCRAM-SHA-256$", "plain SCRAM-SHA-256$"},
        {"with space: and colon", "plain with space: and colon"},
        {"md5sum", "plain md5sum"},
        {"md538f591e5ee08fc954ca8f09e3078a24", "plain md538f591e5ee08fc954ca8f09e3078a24"},
        {"md538f591e5ee08fc954ca8f09e3078a243", "md5 38f591e5ee08fc954ca8f09e3078a243"},
        {kVerifier, std::string("scram ") + kVerifier},
    };
    for (const auto &[text, expected] : cases) {
        const std::string got = shown(text);
        assert_string_equal(got.c_str(), expected.c_str());
    }
}

void unusable_notations_are_refused(void **) {
    const std::string salt_and_keys = std::string(kVerifier).substr(sizeof "SCRAM-SHA-256$4096" - 1);
    const std::string too_long_salt = base64_encode(std::string(kMaxScramSaltBytes + 1, 's'));
    const std::pair<std::string, std::string> cases[] = {
        {"", "error empty password"},
        {"TEXT", "error empty password"},
        {"AES4kfjw==", "error AES-encrypted passwords are not supported"},
        {"md538F591E5EE08FC954CA8F09E3078A243", "error malformed md5 hash"},
        {"md538f591e5ee08fc954ca8f09e3078a24g", "error malformed md5 hash"},
        {"SCRAM-SHA-256$0" + salt_and_keys, "error malformed SCRAM-SHA-256 verifier"},
        {"SCRAM-SHA-256$-1" + salt_and_keys, "error malformed SCRAM-SHA-256 verifier"},
        {"SCRAM-SHA-256$ 4096" + salt_and_keys, "error malformed SCRAM-SHA-256 verifier"},
        {"SCRAM-SHA-256$4096x" + salt_and_keys, "error malformed SCRAM-SHA-256 verifier"},
        {"SCRAM-SHA-256$" + salt_and_keys, "error malformed SCRAM-SHA-256 verifier"},
        {"SCRAM-SHA-256$1000001" + salt_and_keys, "error SCRAM-SHA-256 verifier with more than 1000000 iterations"},
        {"SCRAM-SHA-256$99999999999" + salt_and_keys, "error SCRAM-SHA-256 verifier with more than 1000000 iterations"},
        {"SCRAM-SHA-256$4096:" + too_long_salt + std::string(kVerifier).substr(43),
         "error malformed SCRAM-SHA-256 verifier"},
        {std::string(kVerifier) + "x", "error malformed SCRAM-SHA-256 verifier"},
        {std::string(kVerifier) + ":", "error malformed SCRAM-SHA-256 verifier"},
    };
    for (const auto &[text, expected] : cases) {
        const std::string got = shown(text);
        assert_true(got.starts_with(expected));
    }
}

// Every beginning of a verifier is an error, and no error quotes what it was given.
void a_truncated_verifier_is_refused_without_quoting_it(void **) {
    const std::string_view verifier = kVerifier;
    size_t refused = 0;
    size_t quoted = 0;
    for (size_t size = sizeof "SCRAM-SHA-256$" - 1; size < verifier.size(); size++) {
        const std::string got = shown(verifier.substr(0, size));
        refused += got.starts_with("error ") ? 1 : 0;
        quoted += got.find("zUxL") != std::string::npos || got.find("3C41") != std::string::npos ? 1 : 0;
    }
    assert_int_equal(refused, verifier.size() - (sizeof "SCRAM-SHA-256$" - 1));
    assert_int_equal(quoted, 0);
}

void passwords_are_prepared_as_postgresql_does(void **) {
    const std::pair<std::string, std::string> cases[] = {
        {"", ""},
        {"pencil", "pencil"},
        {"with\tcontrol\x7f", "with\tcontrol\x7f"}, // ASCII is not looked at
        {"I\xc2\xadX", "IX"},                       // RFC 4013: a soft hyphen goes
        {"\xc2\xaa", "a"},                          // RFC 4013: compatibility forms
        {"\xe2\x85\xa8", "IX"},                     // RFC 4013: ROMAN NUMERAL NINE
        {"e\xcc\x81", "\xc3\xa9"},                  // composed
        {"a\xc2\xa0\x62", "a b"},                   // a no-break space is a space
        {"a\xe3\x80\x80\x62", "a b"},               // so is an ideographic one
        {"\xc2\xad", "\xc2\xad"},                   // nothing would be left
        {"\xc2\x85", "\xc2\x85"},                   // prohibited: a control character
        {"\xd8\xa7\x31", "\xd8\xa7\x31"},           // prohibited: right-to-left, then a digit
        {"a\xef\xb9\xb0\x62", "a\xef\xb9\xb0\x62"}, // checked before normalising
        {"a\xe2\x84\xb5\x62", "a\xd7\x90\x62"},     // and not after it
        {"a\xe2\x85\xa8\xff", "a\xe2\x85\xa8\xff"}, // not UTF-8
        {"\xe2\x85", "\xe2\x85"},                   // cut off
        {"\xf0\x9f\x98\x80", "\xf0\x9f\x98\x80"},   // unassigned in Unicode 3.2
        {std::string("\xe2\x85\xa8\0x", 5), std::string("\xe2\x85\xa8\0x", 5)},
    };
    for (const auto &[password, expected] : cases) {
        const std::string got(saslprep(password).view());
        assert_int_equal(got.size(), expected.size());
        assert_memory_equal(got.data(), expected.data(), expected.size());
    }
}

void long_passwords_are_not_normalised(void **) {
    std::string longest; // 1024 bytes
    for (int i = 0; i < 512; i++) {
        longest += "\xc2\xaa";
    }
    const std::string prepared(saslprep(longest).view());
    const std::string too_long(saslprep(longest + "x").view());
    assert_true(prepared == std::string(512, 'a'));
    assert_true(too_long == longest + "x");
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(notations_are_told_apart),
        cmocka_unit_test(unusable_notations_are_refused),
        cmocka_unit_test(a_truncated_verifier_is_refused_without_quoting_it),
        cmocka_unit_test(passwords_are_prepared_as_postgresql_does),
        cmocka_unit_test(long_passwords_are_not_normalised),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
