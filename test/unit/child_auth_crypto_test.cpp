// OpenSSL's digests behind our types: published vectors, and base64 that takes nothing but base64.
#include "child/auth_crypto.h"

#include "unit/cmocka_cpp.h"

namespace {

using namespace pgbalancer;

std::string hex(std::string_view bytes) {
    std::string out;
    for (const char c : bytes) {
        out += "0123456789abcdef"[static_cast<unsigned char>(c) >> 4];
        out += "0123456789abcdef"[c & 15];
    }
    return out;
}

// FIPS 180-2; RFC 4231 test case 2; RFC 7914 section 11 (its first 32 bytes)
void digests_agree_with_the_standards(void **) {
    const std::string sha = hex(sha256("abc").view());
    const std::string whole = hex(hmac_sha256("Jefe", {"what do ya want for nothing?"}).view());
    const std::string parts = hex(hmac_sha256("Jefe", {"what do ya ", "", "want for nothing?"}).view());
    const std::string derived = hex(pbkdf2_sha256("Password", "NaCl", 80000).view());
    assert_string_equal(sha.c_str(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    assert_string_equal(whole.c_str(), "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    assert_string_equal(parts.c_str(), whole.c_str());
    assert_string_equal(derived.c_str(), "4ddcd8f60b98be21830cee5ef22701f9641a4418d04c0414aeff08876b34ab56");
}

// RFC 1321 section A.5
void md5_agrees_with_the_standard(void **) {
    const auto together = md5_hex("message digest", "");
    const auto parts = md5_hex("message ", "digest");
    const std::string first(together ? together->view() : "");
    const std::string second(parts ? parts->view() : "");
    assert_string_equal(first.c_str(), "f96b697d7cb7938d525a2f31aaf161d0");
    assert_string_equal(second.c_str(), first.c_str());
}

// RFC 4648 section 10
void base64_goes_there_and_back(void **) {
    const std::pair<std::string, std::string> cases[] = {{"", ""},
                                                         {"f", "Zg=="},
                                                         {"fo", "Zm8="},
                                                         {"foo", "Zm9v"},
                                                         {"foob", "Zm9vYg=="},
                                                         {"fooba", "Zm9vYmE="},
                                                         {"foobar", "Zm9vYmFy"},
                                                         {std::string("\0\xff\0", 3), "AP8A"}};
    for (const auto &[bytes, text] : cases) {
        const std::string encoded = base64_encode(bytes);
        const auto decoded = base64_decode(text);
        assert_string_equal(encoded.c_str(), text.c_str());
        assert_true(decoded.has_value());
        assert_true(*decoded == bytes);
    }
}

void base64_takes_nothing_else(void **) {
    const std::string_view cases[] = {
        "Z",    "Zg",    "Zg=",  "Zg= ",     "Zg==\n", " Zg==",    "Zh==",     "Zm9=", "====",   "=Zg=",
        "Z===", "Zm9v=", "Zm-_", "Zg==Zg==", "Zm9\0",  "\n\n\n\n", "Zm9v    ", "!!!!", "Zm\xff="};
    for (const std::string_view text : cases) {
        const bool accepted = base64_decode(text).has_value();
        if (accepted) {
            print_error("accepted: \"%.*s\"\n", static_cast<int>(text.size()), text.data());
        }
        assert_false(accepted);
    }
    const bool nul = base64_decode(std::string_view("Zm9\0", 4)).has_value();
    const bool short_key = base64_decode_key(base64_encode(std::string(31, 'k'))).has_value();
    const bool key = base64_decode_key(base64_encode(std::string(32, 'k'))).has_value();
    const bool long_key = base64_decode_key(base64_encode(std::string(33, 'k'))).has_value();
    assert_false(nul);
    assert_false(short_key);
    assert_true(key);
    assert_false(long_key);
}

void comparison_looks_at_every_byte(void **) {
    const std::string a(32, 'a');
    bool all_seen = true;
    for (size_t i = 0; i < a.size(); i++) {
        std::string b = a;
        b[i] ^= 1;
        all_seen = all_seen && !same_bytes(a, b);
    }
    const bool same = same_bytes(a, std::string(32, 'a'));
    const bool prefix = same_bytes(a, std::string(31, 'a'));
    const bool empty = same_bytes("", "");
    assert_true(all_seen);
    assert_true(same);
    assert_false(prefix);
    assert_true(empty);
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(digests_agree_with_the_standards), cmocka_unit_test(md5_agrees_with_the_standard),
        cmocka_unit_test(base64_goes_there_and_back),       cmocka_unit_test(base64_takes_nothing_else),
        cmocka_unit_test(comparison_looks_at_every_byte),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
