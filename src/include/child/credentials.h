// credentials.h: are the files that say who may log in as they must be? For `pgbalancer -f FILE check`, which runs
// before any worker exists. Reads pool_passwd and pool_hba_file from the disk as a worker does.
#pragma once

#include "config/config.h"

#include <string>
#include <vector>

namespace pgbalancer {

// "path:line: what is wrong"; a worker starts only without errors.
struct CredentialProblems {
    std::vector<std::string> errors;
    std::vector<std::string> warnings;
};
CredentialProblems check_credentials(const Config &config);

} // namespace pgbalancer
