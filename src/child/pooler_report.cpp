#include "child/pooler_report.h"

#include <ctime>

namespace pgbalancer {

std::string time_text(int64_t us) {
    if (us == 0) {
        return {};
    }
    const time_t seconds = us / 1000000;
    tm parts{};
    gmtime_r(&seconds, &parts);
    char text[32];
    const size_t n = strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S+00", &parts);
    return {text, n};
}

} // namespace pgbalancer
