#include "child/credentials.h"

#include "child/auth_hba.h"
#include "child/auth_passwd.h"

#include <utility>

namespace pgbalancer {

CredentialProblems check_credentials(const Config &config) {
    FileProblems problems;
    if (!config.pool_passwd.empty()) {
        (void)PasswordFile::load(config.pool_passwd, problems);
    }
    if (config.enable_pool_hba) {
        (void)HbaRules::load(config.pool_hba_file, problems);
    }
    return {std::move(problems.errors), std::move(problems.warnings)};
}

} // namespace pgbalancer
