// The classifier: no text crashes it, exhausts the stack or takes long, and a text and its canonical form are one
// statement.
#include "sql/canonical_text.h"
#include "sql/classifier.h"
#include "unit/classification_text.h"

#include <cstdint>
#include <cstdlib>
#include <string>

using namespace pgbalancer;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const std::string sql(reinterpret_cast<const char *>(data), size);
    Classification what = classify_text(sql, {});
    if (const auto canonical = canonical_text(sql, {})) {
        const Classification again = classify_text(canonical->text, {});
        what.hint = RoutingHint::none;
        if (describe(what) != describe(again) || what.builtins != again.builtins ||
            what.attributes != again.attributes) {
            abort();
        }
    }
    return 0;
}
