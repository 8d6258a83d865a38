// auth_saslprep.h: SASLprep (RFC 4013), the one spelling of a password before SCRAM derives keys from it.
//
// As PostgreSQL and libpq apply it, differences from the RFC included: ASCII is left alone; what may not occur is
// looked for before normalising; a password in which it does occur, or that is not valid UTF-8, is left alone, too. So
// is, here only, a non-ASCII password above 1024 bytes: normalising takes quadratic time. (libidn normalises by
// Unicode 3.2; five ideographs and rare sequences of combining marks were corrected later.) Pure; worker process.
#pragma once

#include "child/auth_crypto.h"

#include <string_view>

namespace pgbalancer {

SecretText saslprep(std::string_view password);

} // namespace pgbalancer
