// pool_passwd: entries, every error at once, the file itself.
#include "child/auth_passwd.h"

#include "unit/cmocka_cpp.h"

#include <cstdlib>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace {

using namespace pgbalancer;

constexpr char kVerifier[] = "SCRAM-SHA-256$4096:zUxLsUmyUEMeNnvEEVyX4g==$3C41uxn3LelLOQEhNS9s+qCtZAdhMO04w9fp2F2Ye6w=:"
                             "X7KZejE2SRdnzqx4vv4t03t0Mg63AF9WViWeOOEDl10=";

std::string joined(const std::vector<std::string> &lines) {
    std::string out;
    for (const std::string &line : lines) {
        out += line + "\n";
    }
    return out;
}

// "plain <password>", "md5", "scram" or "nobody"
std::string entry(const PasswordFile &file, std::string_view user) {
    const Secret *secret = file.find(user);
    if (secret == nullptr) {
        return "nobody";
    }
    if (const auto *plain = std::get_if<PlainSecret>(secret)) {
        return "plain " + std::string(plain->password.view());
    }
    return std::holds_alternative<Md5Secret>(*secret) ? "md5" : "scram";
}

void entries_are_read(void **) {
    const std::string text =
        std::string("# users\n\nplain:TEXTpencil\r\nbare:a:b#c \nmd5:md538f591e5ee08fc954ca8f09e3078a243\n"
                    "caf\xc3\xa9 user:TEXT\xc3\xa9\nscram:") +
        kVerifier; // no line end
    FileProblems problems;
    const auto file = PasswordFile::parse(text, "f", problems);
    const std::pair<std::string_view, std::string> cases[] = {
        {"plain", "plain pencil"},
        {"bare", "plain a:b#c "},
        {"md5", "md5"},
        {"caf\xc3\xa9 user", "plain \xc3\xa9"},
        {"scram", "scram"},
        {"# users", "nobody"},
        {"Plain", "nobody"},
        {"", "nobody"},
    };
    assert_true(file.has_value());
    assert_int_equal(file->size(), 5);
    assert_true(problems.errors.empty());
    for (const auto &[user, expected] : cases) {
        const std::string got = entry(*file, user);
        assert_string_equal(got.c_str(), expected.c_str());
    }
}

void all_errors_are_told_at_once_and_no_secret(void **) {
    constexpr char kText[] = "ok:TEXThush\n"
                             "hush\n"
                             ":hush\n"
                             "empty:\n"
                             "aes:AEShush\n"
                             "ok:hush2\n"
                             "bad:SCRAM-SHA-256$hush\n"
                             "nul:hu\0sh\n";
    FileProblems problems;
    const auto file = PasswordFile::parse({kText, sizeof kText - 1}, "pool_passwd", problems);
    const std::string errors = joined(problems.errors);
    assert_false(file.has_value());
    assert_string_equal(errors.c_str(),
                        "pool_passwd:2: expected user:secret\n"
                        "pool_passwd:3: expected user:secret\n"
                        "pool_passwd:4: user \"empty\": empty password\n"
                        "pool_passwd:5: user \"aes\": AES-encrypted passwords are not supported: use a SCRAM-SHA-256 "
                        "verifier (write TEXT before a clear-text password that begins with AES)\n"
                        "pool_passwd:6: user \"ok\" is already in line 1\n"
                        "pool_passwd:7: user \"bad\": malformed SCRAM-SHA-256 verifier: expected "
                        "SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey> (write TEXT before a clear-text "
                        "password that begins like one)\n"
                        "pool_passwd:8: expected user:secret\n");
    assert_true(errors.find("hush") == std::string::npos);
}

void a_file_cut_anywhere_never_gives_a_wrong_secret(void **) {
    const std::string text = std::string("a:TEXTpencil\nscram:") + kVerifier + "\n";
    size_t wrong = 0;
    for (size_t size = 0; size <= text.size(); size++) {
        FileProblems problems;
        const auto file = PasswordFile::parse(std::string_view(text).substr(0, size), "f", problems);
        wrong += file.has_value() == problems.errors.empty() ? 0 : 1;
        if (file) {
            const std::string scram = entry(*file, "scram");
            // A verifier that lost its end may not become something else, short of losing its prefix.
            const bool whole_prefix = size > text.find('$');
            wrong += scram == (size >= text.size() - 1 ? "scram" : "nobody") || !whole_prefix ? 0 : 1;
        }
    }
    assert_int_equal(wrong, 0);
}

struct TemporaryFile {
    std::string path;
    TemporaryFile(std::string_view text, mode_t mode) {
        char name[] = "/tmp/pgbalancer_passwd_XXXXXX";
        const int fd = mkstemp(name);
        path = name;
        if (fd < 0 || write(fd, text.data(), text.size()) != static_cast<ssize_t>(text.size()) ||
            fchmod(fd, mode) != 0) {
            abort();
        }
        close(fd);
    }
    ~TemporaryFile() { unlink(path.c_str()); }
};

void a_readable_file_is_warned_about(void **) {
    for (const mode_t mode : {0600, 0400, 0640, 0604, 0620, 0644}) {
        FileProblems problems;
        const TemporaryFile on_disk("a:TEXTpencil\n", mode);
        const auto file = PasswordFile::load(on_disk.path, problems);
        const std::string warnings = joined(problems.warnings);
        const std::string expected =
            (mode & 077) == 0
                ? ""
                : on_disk.path + ": group or others have access to the passwords: its mode should be 0600\n";
        assert_true(file.has_value());
        assert_int_equal(file->size(), 1);
        assert_string_equal(warnings.c_str(), expected.c_str());
    }
}

void what_is_not_a_file_is_an_error(void **) {
    char directory[] = "/tmp/pgbalancer_passwd_XXXXXX";
    const bool made = mkdtemp(directory) != nullptr;
    const std::string fifo = std::string(directory) + "/fifo";
    const bool fifo_made = mkfifo(fifo.c_str(), 0600) == 0;
    FileProblems problems;
    const bool missing = PasswordFile::load(std::string(directory) + "/missing", problems).has_value();
    const bool read_directory = PasswordFile::load(directory, problems).has_value();
    const bool read_fifo = PasswordFile::load(fifo, problems).has_value();
    unlink(fifo.c_str());
    rmdir(directory);
    const std::string expected = std::string(directory) + "/missing: No such file or directory\n" + directory +
                                 ": not a regular file\n" + fifo + ": not a regular file\n";
    const std::string errors = joined(problems.errors);
    assert_true(made && fifo_made);
    assert_false(missing || read_directory || read_fifo);
    assert_string_equal(errors.c_str(), expected.c_str());
}

void a_large_file_is_read_whole(void **) {
    std::string text;
    for (int i = 0; i < 10000; i++) { // more than one read
        text += "user" + std::to_string(i) + ":TEXTsecret" + std::to_string(i) + "\n";
    }
    const TemporaryFile on_disk(text, 0600);
    FileProblems problems;
    const auto file = PasswordFile::load(on_disk.path, problems);
    const std::string last = file ? entry(*file, "user9999") : "";
    assert_true(file.has_value());
    assert_int_equal(file->size(), 10000);
    assert_string_equal(last.c_str(), "plain secret9999");
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(entries_are_read),
        cmocka_unit_test(all_errors_are_told_at_once_and_no_secret),
        cmocka_unit_test(a_file_cut_anywhere_never_gives_a_wrong_secret),
        cmocka_unit_test(a_readable_file_is_warned_about),
        cmocka_unit_test(what_is_not_a_file_is_an_error),
        cmocka_unit_test(a_large_file_is_read_whole),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
