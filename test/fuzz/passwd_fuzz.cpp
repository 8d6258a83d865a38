// pool_passwd: any file is either read or refused with a reason; SASLprep takes any password.
#include "child/auth_passwd.h"
#include "child/auth_saslprep.h"

#include <cstdlib>

using namespace pgbalancer;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const std::string_view text(reinterpret_cast<const char *>(data), size);
    FileProblems problems;
    const auto file = PasswordFile::parse(text, "f", problems);
    if (file.has_value() != problems.errors.empty()) {
        abort();
    }
    if (file) {
        for (const auto &[user, secret] : *file) {
            const auto *verifier = std::get_if<ScramVerifier>(&secret);
            if (file->find(user) != &secret || user.empty()) {
                abort();
            }
            // What was read is written so that it reads the same (the notation may differ: 0096 iterations are 96).
            if (verifier != nullptr) {
                const std::string written = format_verifier(*verifier);
                const auto again = parse_secret(written);
                if (!again || format_verifier(std::get<ScramVerifier>(*again)) != written) {
                    abort();
                }
            }
        }
    }
    if (!text.empty() && saslprep(text).empty()) {
        abort(); // an empty password would match another one
    }
    return 0;
}
