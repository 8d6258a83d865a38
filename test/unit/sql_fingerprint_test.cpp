// The lexical rules against PostgreSQL's own scanner, and what fingerprints tell apart.
#include "sql/fingerprint.h"
#include "sql/token_scanner.h"

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <pg_query.h>
#include <pg_query/pg_query.pb-c.h>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "unit/cmocka_cpp.h"

namespace {

using namespace pgbalancer;

const FingerprintKey kKey(std::array<uint64_t, 2>{0x1234567890abcdefULL, 0xfedcba0987654321ULL});

std::optional<Fingerprint> key_of(std::string_view sql, LexRules rules = {}) { return fingerprint(sql, kKey, rules); }

bool same(std::string_view a, std::string_view b) {
    const auto left = key_of(a);
    const auto right = key_of(b);
    const bool equal = left && right && *left == *right;
    if (!equal) {
        printf("not the same: %.*s | %.*s\n", int(a.size()), a.data(), int(std::min<size_t>(b.size(), 500)), b.data());
    }
    return equal;
}

bool different(std::string_view a, std::string_view b) {
    const auto left = key_of(a);
    const auto right = key_of(b);
    const bool unequal = left && right && *left != *right;
    if (!unequal) {
        printf("not different: %.*s | %.*s\n", int(a.size()), a.data(), int(b.size()), b.data());
    }
    return unequal;
}

// -- Against PostgreSQL's scanner.

// A token as both sides can describe it: literals by kind, everything else by its text.
struct TokenText {
    std::vector<std::string> tokens;
    void word(const char *text, size_t size) { tokens.emplace_back(text, size); }
    void quoted_word(const char *text, size_t size) { tokens.push_back('"' + std::string(text, size) + '"'); }
    void operation(const char *text, size_t size) { tokens.emplace_back(text, size); }
    void literal(LiteralKind kind) {
        static const char *const kNames[] = {"", "<integer>", "<numeric>", "<string>", "N", "<bits>", "<parameter>"};
        tokens.emplace_back(kNames[static_cast<size_t>(kind)]);
        if (kind == LiteralKind::national_string) {
            tokens.emplace_back("<string>"); // two tokens there
        }
    }
};

bool scan_as_postgres(const std::string &sql, std::vector<std::string> &out) {
    const PgQueryScanResult result = pg_query_scan(sql.c_str());
    bool good = result.error == nullptr;
    if (good) {
        PgQuery__ScanResult *scan = pg_query__scan_result__unpack(nullptr, result.pbuf.len,
                                                                  reinterpret_cast<const uint8_t *>(result.pbuf.data));
        for (size_t i = 0; i < scan->n_tokens; ++i) {
            const PgQuery__ScanToken &token = *scan->tokens[i];
            const std::string text = sql.substr(size_t(token.start), size_t(token.end - token.start));
            switch (token.token) {
            case PG_QUERY__TOKEN__C_COMMENT:
            case PG_QUERY__TOKEN__SQL_COMMENT: break;
            case PG_QUERY__TOKEN__ICONST: out.emplace_back("<integer>"); break;
            case PG_QUERY__TOKEN__FCONST: out.emplace_back("<numeric>"); break;
            case PG_QUERY__TOKEN__SCONST:
            case PG_QUERY__TOKEN__USCONST: out.emplace_back("<string>"); break;
            case PG_QUERY__TOKEN__BCONST:
            case PG_QUERY__TOKEN__XCONST: out.emplace_back("<bits>"); break;
            case PG_QUERY__TOKEN__PARAM: out.emplace_back("<parameter>"); break;
            case PG_QUERY__TOKEN__NCHAR: out.emplace_back(text.size() == 1 ? "N" : text); break;
            default: out.push_back(text);
            }
        }
        pg_query__scan_result__free_unpacked(scan, nullptr);
    }
    pg_query_free_scan_result(result);
    return good;
}

std::string joined(const std::vector<std::string> &tokens) {
    std::string all;
    for (const std::string &token : tokens) {
        all += '[' + token + ']';
    }
    return all;
}

// 1 agreed, 0 doubted here, -1 contradicted.
int compare_with_postgres(const std::string &sql) {
    TokenText mine;
    if (!scan_tokens(sql, {}, mine)) {
        return 0;
    }
    std::vector<std::string> theirs;
    const bool accepted = scan_as_postgres(sql, theirs);
    if (accepted && joined(mine.tokens) == joined(theirs)) {
        return 1;
    }
    printf("text %s\nhere %s\nthere %s%s\n", sql.c_str(), joined(mine.tokens).c_str(), accepted ? "" : "refused ",
           joined(theirs).c_str());
    return -1;
}

void tokens_are_those_of_postgres(void **) {
    const char *const texts[] = {
        "select 1",
        "select a.b.c, $1, 'x', 1.5, .5, 5., 1e5, 1.5e-3, 2147483647, 2147483648, 00000000001",
        "select 'it''s', E'a\\'b', e'\\\\', B'01', x'ff', N'abc', n'', U&'d!0061' uescape '!'",
        "select $$a$b$$, $tag$ $$ $tag $tag$, $t1$x$t2$y$t1$, $é$x$é$",
        "select 'a'\n'b', 'a' \n  'b', 'a'\r\n\t'b' , 'a' 'b', b'0'\n'1', b'0''1'",
        "select E'a'\n'b\\'c', 1",
        "select 'a' /* x */\n'b'",
        "select /* a /* nested */ comment */ 1 -- end",
        "select /**/1/***/+/*/**/*/2",
        "--\n--x\rselect 1",
        "select a+-1, a=-1, a<-1, a@-1, a|/-b, a*-+b, a!-b, a~-b, a--c\n+1, a+/* c */-b",
        "select a<>b, a!=b, a<=b, a>=b, a=>b, a:=b, a::int, a..b, 1..10, a[1:2], :x, b:c",
        "select a->b->>'c', a#>>'{}', a?b, a?|b, a?&b, a@>b, a<@b, a&&b, a||b, `a, a^b, a%b",
        "select \"a b\", \"a\"\"b\", \"A\".\"B\", a$1, _x, été, \"é\"",
        "select a\tb\nc\rd\fe",
        "",
        "select f($1,$22),$3::text",
        "select 1;;select 2;",
        "e e'x' ee'x' be'x' b x n u u&b",
        "select 1.e, 1",
        "select -1, +1, - 1, -.5",
        "select a*/*c*/b, a/b, a//b, a/ *b",
        "select <=>, ->, -, -->x",
        "select (((1))), [1,2], {",
        "select \\x",
    };
    int contradicted = 0;
    for (const char *text : texts) {
        contradicted += compare_with_postgres(text) < 0 ? 1 : 0;
    }
    assert_int_equal(contradicted, 0);
}

// Fragments thrown together: most of it nonsense to the grammar, but the scanner must cut it the same way. Texts have
// either strings or line comments: libpg_query's scanner differs from PostgreSQL's in what a comment between two parts
// of a string does.
void random_texts_are_cut_as_postgres_cuts_them(void **) {
    const char *const fragments[] = {
        "a",  "B",   "_x1", "é",        "select", "1",     "23",   "1.",    ".5",    "1e5",  "2e", "'",
        "''", "'a'", "E'",  "e'b\\'c'", "b'0'",   "X'",    "N'z'", "\"",    "\"q\"", "\"\"", "$$", "$a$",
        "$1", "$",   "+",   "-",        "--",     "/*",    "*/",   "*",     "/",     "<",    ">",  "=",
        "~",  "!",   "@",   "#",        "^",      "&",     "|",    "`",     "?",     "%",    ":",  "::",
        ":=", ".",   "..",  ",",        "(",      ")",     "[",    "]",     ";",     " ",    " ",  " ",
        "\n", "\t",  "\r",  "\\",       "\\'",    "U&'x'", "u&",   "nchar", "N'",    "0x1",  "1a", "\v",
    };
    std::mt19937 random(20261120);
    int agreed = 0;
    int contradicted = 0;
    for (int i = 0; i < 60000; ++i) {
        std::string sql;
        const size_t count = 1 + random() % 12;
        for (size_t k = 0; k < count; ++k) {
            const std::string_view fragment = fragments[random() % std::size(fragments)];
            if (fragment.find(i % 2 == 0 ? "--" : "'") == std::string_view::npos) {
                sql += fragment;
            }
        }
        const int verdict = compare_with_postgres(sql);
        agreed += verdict > 0 ? 1 : 0;
        contradicted += verdict < 0 ? 1 : 0;
    }
    assert_int_equal(contradicted, 0);
    assert_true(agreed > 15000);
}

// -- What is one statement and what is not.

void literals_spacing_and_comments_do_not_count(void **) {
    bool good = true;
    const std::pair<const char *, const char *> pairs[] = {
        {"select 1", "SELECT  42"},
        {"select 1", "select/* x */1 -- y"},
        {"select 'a'", "select 'a much longer string; select 2 -- '"},
        {"select 'a'", "select $$a$$"},
        {"select 'a'", "select E'\\n'"},
        {"select 'a'", "select 'a'\n'b'"},
        {"select 'a'", "select 'a' -- x\n  -- y\n\n'b'"},
        {"select b'1'", "select x'ff'"},
        {"select $1", "select $77"},
        {"select 1.5", "select 2e10"},
        {"select abc from Def", "SELECT ABC FROM dEF"},
        {"select 1 /*NO LOAD BALANCE*/", "select 1"}, // a hint comes first
        {"/* trace=1 */ select 1", "-- x\nselect 1"},
        {"/*NO LOAD BALANCE*/ select 1", "/*+ pgbalancer: primary */ select 1"},
        {"/*+pgbalancer:node=3*/select 1", "  /*x*/ /*+ PGBALANCER : NODE = 3 */ select 1"},
        {"/*+ IndexScan(a) */ select 1", "select 1"},
        {"/*+ pgbalancer: nonsense */ select 1", "select 1"},
        {"/*+ pgbalancer: node=99999 */ select 1", "select 1"},
        {"select a<-1", "select a < - 1"},
        {"select a::int", "select a :: int"},
    };
    for (const auto &[a, b] : pairs) {
        good = same(a, b) && good;
    }
    assert_true(good);
}

void lists_of_constants_count_as_one(void **) {
    bool good = true;
    const std::pair<const char *, const char *> pairs[] = {
        {"select * from t where a in (1,2)", "select * from t where a in (1,2,3,4,5,6)"},
        {"select * from t where a in ($1,$2)", "select * from t where a in ($1,$2,$3)"},
        {"insert into t values (1,'a')", "insert into t values (1,'a'),(2,'b')"},
        {"insert into t values (1,'a')", "insert into t values (1.5,'a'),(-2,NULL), (null, 'x'), (true,'b')"},
        {"insert into t values (1,'a',now())", "insert into t values (1,'a',now()),(2,'b',now()),(3,'c',now())"},
        {"insert into t values (1,'a',f(1,2))", "insert into t values (-1,'a',f(1,2,3)) , (+2.5,'b',f(9,9,9))"},
        {"insert into t values ((1),(2))", "insert into t values ((1),(2)),((3),(4))"},
        {"select f(1,2)", "select f(1, 3.5, NULL, -4, false)"},
        {"select set_config('a', 'b', true), f(true)", "select set_config('c', 'd', true), f(false)"},
        {"insert into t values ($1,$2),($3,$4)", "insert into t values ($1,$2),($3,$4),($5,$6)"},
    };
    for (const auto &[a, b] : pairs) {
        good = same(a, b) && good;
    }
    // Longer than any buffer of the hash.
    std::string few = "insert into t (a, b, c) values (1, 'x', now())";
    std::string many = few;
    for (int i = 0; i < 5000; ++i) {
        many += ", (" + std::to_string(i) + ", 'y', now())";
    }
    good = same(few, many) && good;
    assert_true(good);
}

void everything_else_counts(void **) {
    bool good = true;
    const std::pair<const char *, const char *> pairs[] = {
        {"select 1", "select 1;"},
        {"select 1", "select 1.5"},
        {"select 1", "select '1'"},
        {"select 'a'", "select N'a'"},
        {"select n 'a'", "select N'a'"},
        {"select 1", "select $1"},
        {"select 1", "select 9999999999"},
        {"select -1", "select 1"},
        {"select abc", "select \"abc\""},
        {"select \"abc\"", "select \"Abc\""},
        {"select abc", "select abd"},
        {"select abcdefg", "select abcdefgh"},
        {"select abcdefgh", "select abcdefg h"},
        {"select abcdefgabcdefg", "select abcdefg"},
        {"select a b", "select ab"},
        {"select a.b", "select a b"},
        {"select a+b", "select a-b"},
        {"select a || b", "select a | | b"},
        {"select f(1)", "select f(1,2)"}, // two stay two
        {"select 1", "/*NO LOAD BALANCE*/ select 1"},
        {"/*+ pgbalancer: standby */ select 1", "/*+ pgbalancer: primary */ select 1"},
        {"/*+ pgbalancer: node=0 */ select 1", "/*+ pgbalancer: node=1 */ select 1"},
        {"/*+ pgbalancer: node=0 */ select 1", "/*+ pgbalancer: node=256 */ select 1"},
        {"select 'a' 'b'", "select 'a'\n'b'"},
        {"select 'a' /* x */\n 'b'", "select 'a'\n'b'"},
        {"select null", "select 'x'"},
        {"select set_config('a', 'b', true)", "select set_config('a', 'b', false)"},
        {"select set_config('a', 'b', true)", "select set_config('a', 'b', 'true')"},
        {"select a is null", "select a is not null"},
        {"values (1),(f())", "values (1),(g())"},
        {"values (a),(b)", "values (a),(a)"},
        {"values (f(1)),(f(1)),(g(1))", "values (f(1)),(f(1))"},
        {"select", ""},
        {"select é", "select É"},
    };
    for (const auto &[a, b] : pairs) {
        good = different(a, b) && good;
    }
    assert_true(good);
}

void doubtful_texts_have_no_key(void **) {
    const std::string with_nul("select 'a\0b'", 12);
    const char *const texts[] = {
        "select 'abc",
        "select 'abc''",
        "select E'abc\\'",
        "select \"abc",
        "select \"\"",
        "select $$abc",
        "select $a$abc$b$",
        "select /* abc",
        "select /* /* */",
        "select 1a",
        "select 1.5e",
        "select 1e+",
        "select 0x1F",
        "select 1_000",
        "select $1a",
        "select \\",
        "select {",
        "select }",
        "select \v1",
        "select \x01",
        "select U&\"d\\0061t\"",
        "select b'1",
        "select x'1",
        "select 1 @@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@ 2",
        "select $",
        "select $a",
        "select E'",
    };
    int wrong = 0;
    for (const char *text : texts) {
        if (key_of(text)) {
            printf("not doubted: %s\n", text);
            ++wrong;
        }
    }
    wrong += key_of(with_nul) ? 1 : 0;
    assert_int_equal(wrong, 0);
}

void settings_change_the_rules(void **) {
    const LexRules escapes{.standard_conforming_strings = false};
    const LexRules embeds{.ascii_is_ascii = false};
    const std::string_view quoted = "select 'a\\', b, 'c'"; // one string and a half, or two strings
    const auto plain = key_of(quoted);
    const auto escaped = key_of(quoted, escapes);
    const auto closed = key_of("select 'a\\', b, ' || c", escapes);
    const auto reference = key_of("select 'x' || c");
    const auto unicode = key_of("select U&'a'", escapes);
    const auto national = key_of("select N'a\\'b'", escapes);
    const auto ascii = key_of("select 'a'", embeds);
    const auto multibyte = key_of("select '\x95\x5c'", embeds);
    assert_true(plain.has_value());
    assert_false(escaped.has_value());
    assert_true(closed && reference && *closed == *reference);
    assert_false(unicode.has_value());
    assert_true(national.has_value());
    assert_true(ascii.has_value());
    assert_false(multibyte.has_value());
}

void encodings_are_known_by_any_spelling(void **) {
    const char *const plain[] = {"UTF8",   "utf-8",   "UNICODE",    "LATIN1", "SQL_ASCII",
                                 "EUC_JP", "win1252", "ISO_8859_5", "KOI8R"};
    const char *const embedding[] = {"SJIS", "BIG5",           "GBK", "gb18030", "JOHAB",
                                     "UHC",  "SHIFT_JIS_2004", "",    "mskanji", "unheard_of"};
    int wrong = 0;
    for (const char *name : plain) {
        wrong += encoding_embeds_ascii(name) ? 1 : 0;
    }
    for (const char *name : embedding) {
        wrong += encoding_embeds_ascii(name) ? 0 : 1;
    }
    wrong += encoding_embeds_ascii(std::string(100, 'u')) ? 0 : 1;
    assert_int_equal(wrong, 0);
}

void keys_differ_between_processes(void **) {
    const FingerprintKey one;
    const FingerprintKey other;
    const auto a = fingerprint("select 1", one, {});
    const auto b = fingerprint("select 1", other, {});
    const auto again = fingerprint("select 2", one, {});
    assert_true(a && b && again);
    assert_true(*a != *b);
    assert_true(*a == *again);
}

// The text's position in memory must not matter: loads near the end of a buffer take another way.
void every_length_hashes_alike_wherever_it_stands(void **) {
    const std::string text = "select abcdefghijklmnop from \"Qrstuvwxyz\" where x <=> y and abc = def";
    int wrong = 0;
    for (size_t size = 1; size <= text.size(); ++size) {
        const std::string padded = text.substr(0, size) + std::string(32, ' ');
        const std::vector<char> exact(text.begin(), text.begin() + static_cast<ptrdiff_t>(size));
        const auto a = key_of(padded);
        const auto b = key_of({exact.data(), exact.size()});
        wrong += a == b ? 0 : 1;
    }
    assert_int_equal(wrong, 0);
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(tokens_are_those_of_postgres),
        cmocka_unit_test(random_texts_are_cut_as_postgres_cuts_them),
        cmocka_unit_test(literals_spacing_and_comments_do_not_count),
        cmocka_unit_test(lists_of_constants_count_as_one),
        cmocka_unit_test(everything_else_counts),
        cmocka_unit_test(doubtful_texts_have_no_key),
        cmocka_unit_test(settings_change_the_rules),
        cmocka_unit_test(encodings_are_known_by_any_spelling),
        cmocka_unit_test(keys_differ_between_processes),
        cmocka_unit_test(every_length_hashes_alike_wherever_it_stands),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
