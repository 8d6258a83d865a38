#include "child/auth_saslprep.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <stringprep.h>

namespace pgbalancer {

namespace {

constexpr size_t kMaxPreparedBytes = 1024;

// libidn's profile without its normalising step: PostgreSQL checks the characters as they were before that.
std::array<Stringprep_profile, 32> mapping_and_checks() {
    std::array<Stringprep_profile, 32> out{}; // ends with a zero operation
    size_t used = 0;
    for (const Stringprep_profile *step = stringprep_saslprep; step->operation != 0 && used < out.size() - 1; step++) {
        if (step->operation != STRINGPREP_NFKC) {
            out[used++] = *step;
        }
    }
    return out;
}

struct WipeAndFree {
    void operator()(char *text) const {
        wipe(text, strlen(text));
        free(text);
    }
};

} // namespace

SecretText saslprep(std::string_view password) {
    const bool ascii = std::all_of(password.begin(), password.end(), [](char c) { return (c & 0x80) == 0; });
    if (ascii || password.size() > kMaxPreparedBytes || password.find('\0') != std::string_view::npos) {
        return SecretText(password);
    }
    // In place: mapping never makes a text longer, but libidn wants room for the NUL.
    std::vector<char, WipingAllocator<char>> mapped(password.begin(), password.end());
    mapped.resize(password.size() + 8);
    const auto profile = mapping_and_checks();
    if (stringprep(mapped.data(), mapped.size(), STRINGPREP_NO_UNASSIGNED, profile.data()) != STRINGPREP_OK ||
        mapped.front() == '\0') {
        return SecretText(password);
    }
    const std::unique_ptr<char, WipeAndFree> normalised(stringprep_utf8_nfkc_normalize(mapped.data(), -1));
    return SecretText(normalised == nullptr ? password : std::string_view(normalised.get()));
}

} // namespace pgbalancer
