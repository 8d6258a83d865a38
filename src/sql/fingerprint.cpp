#include "sql/fingerprint.h"

#include "common/random.h"
#include "sql/routing_hint.h"
#include "sql/token_folder.h"
#include "sql/token_hash.h"
#include "sql/token_scanner.h"

#include <algorithm>
#include <cstring>

namespace pgbalancer {

namespace {

constexpr uint64_t kPrime = (uint64_t{1} << 61) - 1;

uint64_t multiply(uint64_t a, uint64_t b) {
    return static_cast<uint64_t>(static_cast<unsigned __int128>(a) * b % kPrime);
}

} // namespace

FingerprintKey::FingerprintKey() : FingerprintKey(std::array{random_u64(), random_u64()}) {}

FingerprintKey::FingerprintKey(const std::array<uint64_t, 2> &secret) {
    for (size_t lane = 0; lane < 2; ++lane) {
        const uint64_t r = secret[lane] % (kPrime - 1) + 1; // not zero: every text would hash to it
        uint64_t power = 1;
        for (uint64_t &slot : powers_[lane]) {
            power = multiply(power, r);
            slot = power;
        }
    }
}

bool encoding_embeds_ascii(std::string_view client_encoding) {
    // The names of the encodings that do not, from PostgreSQL's pg_encname_tbl (src/common/encnames.c), with aliases.
    static constexpr std::string_view kPlain[] = {
        "abc",         "alt",         "euccn",       "eucjis2004",  "eucjp",       "euckr",       "euctw",
        "iso88591",    "iso885910",   "iso885913",   "iso885914",   "iso885915",   "iso885916",   "iso88592",
        "iso88593",    "iso88594",    "iso88595",    "iso88596",    "iso88597",    "iso88598",    "iso88599",
        "koi8",        "koi8r",       "koi8u",       "latin1",      "latin10",     "latin2",      "latin3",
        "latin4",      "latin5",      "latin6",      "latin7",      "latin8",      "latin9",      "muleinternal",
        "sqlascii",    "tcvn",        "tcvn5712",    "unicode",     "utf8",        "vscii",       "win",
        "win1250",     "win1251",     "win1252",     "win1253",     "win1254",     "win1255",     "win1256",
        "win1257",     "win1258",     "win866",      "win874",      "windows1250", "windows1251", "windows1252",
        "windows1253", "windows1254", "windows1255", "windows1256", "windows1257", "windows1258", "windows866",
        "windows874",
    };
    char name[32];
    size_t size = 0;
    for (const char c : client_encoding) {
        const char lower = c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c;
        if ((lower >= 'a' && lower <= 'z') || (lower >= '0' && lower <= '9')) {
            if (size == sizeof name) {
                return true;
            }
            name[size++] = lower;
        }
    }
    return !std::ranges::binary_search(kPlain, std::string_view(name, size));
}

std::optional<Fingerprint> fingerprint(std::string_view sql, const FingerprintKey &key, LexRules rules) {
    if (!sql.empty() && memchr(sql.data(), '\0', sql.size()) != nullptr) {
        return std::nullopt;
    }
    TokenHash hash(key, sql);
    // Only a text that begins with a comment or white space can have a hint.
    if (!sql.empty() && sql.front() <= '/') {
        if (const HintValue value = routing_hint(sql); value.hint != RoutingHint::none) {
            hash.hint(uint64_t{value.node} << 8 | static_cast<uint64_t>(value.hint));
        }
    }
    TokenFolder folder(hash, sql.data() + sql.size());
    if (!scan_tokens(sql, rules, folder)) {
        return std::nullopt;
    }
    return hash.finish();
}

} // namespace pgbalancer
