// auth_file.h: reading pool_passwd and pool_hba: the whole text at once, and everything that is wrong with it.
//
// Blocks on the disk: called at start, at reload and by `check`, never for a connection.
#pragma once

#include "child/auth_crypto.h"

#include <optional>
#include <string>
#include <vector>

namespace pgbalancer {

// "path:line: what is wrong", in the order of the file. A file with errors is not used; warnings are only logged.
struct FileProblems {
    std::vector<std::string> errors;
    std::vector<std::string> warnings;
};

// Nothing and one error if the file cannot be read, is not a regular file or is larger than 64 MiB. `mode` receives
// the file's permission bits.
std::optional<SecretText> read_auth_file(const std::string &path, unsigned &mode, FileProblems &problems);

} // namespace pgbalancer
