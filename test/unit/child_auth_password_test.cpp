// Clear-text and md5 logins: packets, right and wrong answers for every kind of entry.
#include "child/auth_md5.h"
#include "child/auth_password.h"

#include "unit/cmocka_cpp.h"

namespace {

using namespace pgbalancer;

// All made by PostgreSQL 15 for role "md5_u" or by any role with the password "pencil".
constexpr char kMd5[] = "md538f591e5ee08fc954ca8f09e3078a243";
constexpr char kVerifier[] = "SCRAM-SHA-256$4096:zUxLsUmyUEMeNnvEEVyX4g==$3C41uxn3LelLOQEhNS9s+qCtZAdhMO04w9fp2F2Ye6w=:"
                             "X7KZejE2SRdnzqx4vv4t03t0Mg63AF9WViWeOOEDl10=";
constexpr char kPlain[] = "TEXTpencil";
constexpr Md5Salt kSalt{0, 1, 0xFE, 0xFF};

std::string packet(std::string_view body) {
    const auto read = read_password_message(body);
    if (const auto *error = std::get_if<AuthError>(&read)) {
        return error->sqlstate + " " + error->message;
    }
    return "<" + std::string(std::get<std::string_view>(read)) + ">";
}

void a_password_message_is_one_string(void **) {
    const std::pair<std::string_view, const char *> cases[] = {
        {{"pencil\0", 7}, "<pencil>"},
        {{"\0", 1}, "28P01 empty password returned by client"},
        {{"", 0}, "08P01 invalid password packet size"},
        {{"pencil", 6}, "08P01 invalid password packet size"},
        {{"pencil\0x", 8}, "08P01 invalid password packet size"},
        {{"pencil\0\0", 8}, "08P01 invalid password packet size"},
        {{"\0\0", 2}, "08P01 invalid password packet size"},
    };
    for (const auto &[body, expected] : cases) {
        const std::string got = packet(body);
        assert_string_equal(got.c_str(), expected);
    }
}

void clear_text_is_checked_against_every_kind(void **) {
    Key tree_key;
    KeyCache cache(tree_key);
    for (const char *notation : {kMd5, kVerifier, kPlain}) {
        const Result<Secret> secret = parse_secret(notation);
        const bool right = password_matches(*secret, "md5_u", "pencil", cache);
        const bool wrong = password_matches(*secret, "md5_u", "pencil ", cache);
        const bool prefix = password_matches(*secret, "md5_u", "penci", cache);
        const bool empty = password_matches(*secret, "md5_u", "", cache);
        const bool notation_itself = password_matches(*secret, "md5_u", notation, cache);
        assert_true(right);
        assert_false(wrong);
        assert_false(prefix);
        assert_false(empty);
        assert_false(notation_itself);
    }
}

void clear_text_is_compared_prepared(void **) {
    Key tree_key;
    KeyCache cache(tree_key);
    const Result<Secret> plain = parse_secret("I\xc2\xadX e\xcc\x81");
    const bool right = password_matches(*plain, "u", "IX \xc3\xa9", cache);
    assert_true(right);
}

void md5_belongs_to_its_user(void **) {
    Key tree_key;
    KeyCache cache(tree_key);
    const Result<Secret> md5 = parse_secret(kMd5);
    const bool other_user = password_matches(*md5, "someone", "pencil", cache);
    assert_false(other_user);
}

void md5_responses_agree_whatever_the_entry(void **) {
    const Result<Secret> md5 = parse_secret(kMd5);
    const Result<Secret> plain = parse_secret(kPlain);
    const auto from_md5 = md5_response(*md5, "md5_u", kSalt);
    const auto from_plain = md5_response(*plain, "md5_u", kSalt);
    const auto from_verifier = md5_response(*parse_secret(kVerifier), "md5_u", kSalt);
    // md5("38f591e5ee08fc954ca8f09e3078a243" 00 01 fe ff), computed with md5sum
    const std::string expected = "md5690773c9d953fdbefa27f1ccb51c760f";
    const std::string first(from_md5->view());
    const std::string second(from_plain->view());
    assert_string_equal(first.c_str(), expected.c_str());
    assert_string_equal(second.c_str(), expected.c_str());
    assert_false(static_cast<bool>(from_verifier));
}

void md5_responses_are_checked(void **) {
    const Result<Secret> md5 = parse_secret(kMd5);
    const Result<Secret> plain = parse_secret(kPlain);
    const Result<Secret> verifier = parse_secret(kVerifier);
    const std::string right(md5_response(*plain, "md5_u", kSalt)->view());
    size_t wrong_accepted = 0;
    for (size_t size = 0; size < right.size(); size++) {
        wrong_accepted += md5_response_matches(*md5, "md5_u", kSalt, right.substr(0, size)) ? 1 : 0;
        std::string flipped = right;
        flipped[size] ^= 1;
        wrong_accepted += md5_response_matches(*md5, "md5_u", kSalt, flipped) ? 1 : 0;
    }
    const bool against_md5 = md5_response_matches(*md5, "md5_u", kSalt, right);
    const bool against_plain = md5_response_matches(*plain, "md5_u", kSalt, right);
    const bool against_verifier = md5_response_matches(*verifier, "md5_u", kSalt, right);
    const bool other_salt = md5_response_matches(*md5, "md5_u", Md5Salt{}, right);
    const bool other_user = md5_response_matches(*plain, "someone", kSalt, right);
    const bool unsalted = md5_response_matches(*md5, "md5_u", kSalt, kMd5);
    assert_int_equal(wrong_accepted, 0);
    assert_true(against_md5);
    assert_true(against_plain);
    assert_false(against_verifier);
    assert_false(other_salt);
    assert_false(other_user);
    assert_false(unsalted);
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(a_password_message_is_one_string),
        cmocka_unit_test(clear_text_is_checked_against_every_kind),
        cmocka_unit_test(clear_text_is_compared_prepared),
        cmocka_unit_test(md5_belongs_to_its_user),
        cmocka_unit_test(md5_responses_agree_whatever_the_entry),
        cmocka_unit_test(md5_responses_are_checked),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
