// Keys are derived once, found again, forgotten in order, and never believed without proof.
#include "child/auth_key_cache.h"
#include "child/auth_passwd.h"

#include "unit/cmocka_cpp.h"

namespace {

using namespace pgbalancer;

// Cheap derivations: what is tested is the cache.
constexpr int kFew = 2;

Key key_of(char c) {
    Key key;
    key.bytes.fill(static_cast<unsigned char>(c));
    return key;
}

ScramVerifier verifier_from(const ScramKeys &keys, std::string salt) {
    ScramVerifier verifier;
    verifier.iterations = kFew;
    verifier.salt = std::move(salt);
    verifier.stored_key = keys.stored_key;
    verifier.server_key = keys.server_key;
    return verifier;
}

// RFC 7677 section 3: user, pencil
void keys_agree_with_the_rfc(void **) {
    const auto salt = base64_decode("W22ZaJ0SNY7soEsUEjb6gQ==");
    const ScramKeys keys = derive_scram_keys("pencil", *salt, 4096);
    const std::string auth_message = "n=user,r=rOprNGfwEbeRWgbNEkqO,"
                                     "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
                                     "s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,"
                                     "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
    const Key signature = hmac_sha256(keys.stored_key.view(), {auth_message});
    const std::string proof = base64_encode((keys.client_key ^ signature).view());
    const std::string server = base64_encode(hmac_sha256(keys.server_key.view(), {auth_message}).view());
    assert_string_equal(proof.c_str(), "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=");
    assert_string_equal(server.c_str(), "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
}

void keys_are_found_by_all_that_makes_them(void **) {
    KeyCache cache(key_of('t'));
    const Key first = cache.keys("pencil", "salt", kFew).stored_key;
    const Key again = cache.keys("pencil", "salt", kFew).stored_key;
    const size_t after_same = cache.size();
    const Key other_password = cache.keys("pencils", "alt", kFew).stored_key; // the same bytes, split elsewhere
    const Key other_salt = cache.keys("pencil", "salz", kFew).stored_key;
    const Key other_count = cache.keys("pencil", "salt", kFew + 1).stored_key;
    const size_t after_others = cache.size();
    assert_true(same_bytes(first, again));
    assert_int_equal(after_same, 1);
    assert_false(same_bytes(first, other_password));
    assert_false(same_bytes(first, other_salt));
    assert_false(same_bytes(first, other_count));
    assert_int_equal(after_others, 4);
}

void the_least_recently_used_goes_first(void **) {
    KeyCache cache(key_of('t'), 3);
    // A verifier's ClientKey stays or goes without being derived anew: it shows who was evicted.
    const ScramKeys keys = derive_scram_keys("pencil", "salt", kFew);
    const ScramVerifier verifier = verifier_from(keys, "salt");
    cache.remember_client_key(verifier, keys.client_key);
    cache.keys("a", "s", kFew);
    cache.keys("b", "s", kFew);
    const bool used = cache.client_key(verifier) != nullptr; // moves it to the front
    cache.keys("c", "s", kFew);                              // evicts a
    cache.keys("d", "s", kFew);                              // evicts b
    const bool kept = cache.client_key(verifier) != nullptr;
    cache.keys("e", "s", kFew);
    cache.keys("f", "s", kFew);
    cache.keys("g", "s", kFew);
    const bool gone = cache.client_key(verifier) == nullptr;
    assert_true(used);
    assert_true(kept);
    assert_true(gone);
    assert_int_equal(cache.size(), 3);
}

void salts_depend_on_the_user_and_the_tree_only(void **) {
    const KeyCache one_worker(key_of('t'));
    const KeyCache another_worker(key_of('t'));
    const KeyCache another_tree(key_of('u'));
    const std::string alice = one_worker.salt_for("alice");
    assert_int_equal(alice.size(), kScramSaltBytes);
    assert_true(alice == another_worker.salt_for("alice"));
    assert_true(alice != one_worker.salt_for("bob"));
    assert_true(alice != another_tree.salt_for("alice"));
}

void a_password_is_matched_and_only_the_right_one_is_kept(void **) {
    KeyCache cache(key_of('t'));
    const ScramKeys keys = derive_scram_keys("pencil", "salt", kFew);
    const ScramVerifier verifier = verifier_from(keys, "salt");
    const bool wrong = cache.matches(verifier, "pen");
    const size_t after_wrong = cache.size();
    const bool key_after_wrong = cache.client_key(verifier) != nullptr;
    const bool right = cache.matches(verifier, "pencil");
    const size_t after_right = cache.size();
    const bool right_again = cache.matches(verifier, "pencil");
    const Key *remembered = cache.client_key(verifier);
    const bool key_is_right = remembered != nullptr && same_bytes(*remembered, keys.client_key);
    // The password was changed: what is cached for the old verifier must not let it in.
    const ScramVerifier changed = verifier_from(derive_scram_keys("crayon", "salt", kFew), "salt");
    const bool old_password = cache.matches(changed, "pencil");
    assert_false(wrong);
    assert_int_equal(after_wrong, 0);
    assert_false(key_after_wrong);
    assert_true(right);
    assert_true(right_again);
    assert_int_equal(after_right, 2); // the keys and the ClientKey
    assert_true(key_is_right);
    assert_false(old_password);
}

void a_client_key_must_belong_to_its_verifier(void **) {
    KeyCache cache(key_of('t'));
    const ScramKeys keys = derive_scram_keys("pencil", "salt", kFew);
    const ScramVerifier verifier = verifier_from(keys, "salt");
    cache.remember_client_key(verifier, keys.server_key);
    const bool believed = cache.client_key(verifier) != nullptr;
    cache.remember_client_key(verifier, keys.client_key);
    cache.remember_client_key(verifier, keys.client_key);
    const bool known = cache.client_key(verifier) != nullptr;
    ScramVerifier other = verifier;
    other.salt = "talc";
    const bool other_known = cache.client_key(other) != nullptr;
    assert_false(believed);
    assert_true(known);
    assert_false(other_known);
    assert_int_equal(cache.size(), 1);
}

void precomputing_is_bounded_and_goes_on_where_it_stopped(void **) {
    FileProblems problems;
    const auto file =
        PasswordFile::parse("a:TEXT1\nb:TEXT2\nc:TEXT3\nd:md538f591e5ee08fc954ca8f09e3078a243\n", "f", problems);
    KeyCache cache(key_of('t'));
    const size_t first = cache.precompute(*file, 2);
    const size_t second = cache.precompute(*file, 2);
    const size_t third = cache.precompute(*file, 2);
    const size_t entries = cache.size();
    const ScramVerifier verifier = cache.verifier_for("a", std::get<PlainSecret>(*file->find("a")));
    const size_t entries_after_use = cache.size();
    assert_int_equal(first, 2);
    assert_int_equal(second, 1);
    assert_int_equal(third, 0);
    assert_int_equal(entries, 3);
    assert_int_equal(entries_after_use, 3);
    assert_int_equal(verifier.iterations, kDefaultScramIterations);
    assert_true(verifier.salt == cache.salt_for("a"));
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(keys_agree_with_the_rfc),
        cmocka_unit_test(keys_are_found_by_all_that_makes_them),
        cmocka_unit_test(the_least_recently_used_goes_first),
        cmocka_unit_test(salts_depend_on_the_user_and_the_tree_only),
        cmocka_unit_test(a_password_is_matched_and_only_the_right_one_is_kept),
        cmocka_unit_test(a_client_key_must_belong_to_its_verifier),
        cmocka_unit_test(precomputing_is_bounded_and_goes_on_where_it_stopped),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
