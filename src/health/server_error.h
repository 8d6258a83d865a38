// server_error.h: what the error of a failed login says about the server. Pure.
//
// libpq gives no SQLSTATE for an error during connection, only its text; with PQERRORS_VERBOSE that text has the
// SQLSTATE in a place that no translation changes: "FATAL:  57P03: the database system is starting up".
#pragma once

#include "shm/layout.h"

#include <string>
#include <string_view>

namespace pgbalancer {

// Five characters, or empty when no server said anything.
std::string_view find_sqlstate(std::string_view libpq_message);

// A server that refuses is alive; one that says it cannot take connections now is `starting`; silence is `failed`.
ProbeOutcome classify_refusal(std::string_view sqlstate);

// One line for people: without libpq's line about the server's source file.
std::string tidy_message(std::string_view libpq_message);

} // namespace pgbalancer
