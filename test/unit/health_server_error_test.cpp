// What libpq's text says about a server.
#include "health/server_error.h"

#include "unit/cmocka_cpp.h"

namespace {

using namespace pgbalancer;

void sqlstates(void **) {
    const struct {
        const char *message;
        const char *sqlstate;
        ProbeOutcome outcome;
    } cases[] = {
        {"connection to server at \"127.0.0.1\", port 5432 failed: FATAL:  57P03: the database system is starting up\n"
         "LOCATION:  ProcessStartupPacket, postmaster.c:2410\n",
         "57P03", ProbeOutcome::starting},
        {"connection to server on socket \"/tmp/.s.PGSQL.5432\" failed: FATAL:  28P01: password authentication "
         "failed\n",
         "28P01", ProbeOutcome::alive},
        {"… failed: Connection refused\n\tIs the server running?\n… failed: SCHWERWIEGEND:  53300: zu viele "
         "Verbindungen\n",
         "53300", ProbeOutcome::alive},
        {"FATAL:  57P01: terminating connection due to administrator command", "57P01", ProbeOutcome::starting},
        {"connection to server at \"::1\", port 5432 failed: Connection refused\n\tIs the server running?\n", "",
         ProbeOutcome::failed},
        {"FATAL:  57P0", "", ProbeOutcome::failed},
        {"FATAL:  57p03: lower case is none", "", ProbeOutcome::failed},
        {"FATAL:  sorry: 57P03: elsewhere", "", ProbeOutcome::failed},
        {"a:  b:  c:  28000: found behind others", "28000", ProbeOutcome::alive},
        {"", "", ProbeOutcome::failed},
    };
    for (const auto &c : cases) {
        const std::string found(find_sqlstate(c.message));
        const ProbeOutcome outcome = classify_refusal(found);
        if (found != c.sqlstate || outcome != c.outcome) {
            fail_msg("%s: \"%s\", %d", c.message, found.c_str(), static_cast<int>(outcome));
        }
    }
}

void a_message_becomes_one_line(void **) {
    const std::string refused = tidy_message("first failed: Connection refused\n\tIs it running?\n");
    const std::string verbose = tidy_message("FATAL:  57P03: starting up\nLOCATION:  f, postmaster.c:1\n");
    const std::string nothing = tidy_message("\n \n");
    assert_string_equal(refused.c_str(), "first failed: Connection refused; Is it running?");
    assert_string_equal(verbose.c_str(), "FATAL:  57P03: starting up");
    assert_string_equal(nothing.c_str(), "");
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(sqlstates),
        cmocka_unit_test(a_message_becomes_one_line),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
