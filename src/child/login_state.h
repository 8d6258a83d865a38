// login_state.h: what a session needs only until it has logged in. Freed then.
#pragma once

#include "child/auth_address.h"
#include "child/auth_md5.h"
#include "child/auth_policy.h"
#include "child/auth_scram.h"
#include "child/startup.h"

#include <optional>

namespace pgbalancer {

struct LoginState {
    PeerAddress address;
    StartupMessage startup;
    ClientAuthDecision decision;
    std::optional<ScramServer> scram;
    bool scram_started = false;
    Md5Salt salt{};
    bool refused_encryption = false; // SSLRequest or GSSENCRequest was answered with 'N'
    int encryption_requests = 0;
};

} // namespace pgbalancer
