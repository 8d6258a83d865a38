#include "child/auth_error.h"

#include <utility>

namespace pgbalancer {

AuthError password_authentication_failed(std::string_view user, std::string log_detail) {
    return {.sqlstate = "28P01",
            .message = "password authentication failed for user \"" + std::string(user) + "\"",
            .detail = {},
            .log_detail = std::move(log_detail)};
}

} // namespace pgbalancer
