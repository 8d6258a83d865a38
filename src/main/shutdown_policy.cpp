#include "main/shutdown_policy.h"

namespace pgbalancer {

ShutdownStep decide_shutdown(const ShutdownView &view) {
    if (view.workers + view.others == 0) {
        return ShutdownStep::finish;
    }
    if (view.mode == ShutDownMode::immediate) {
        return ShutdownStep::kill_all;
    }
    if (view.workers == 0 && !view.others_told) {
        return ShutdownStep::tell_others;
    }
    if (view.others_told ? view.in_phase >= kOthersGrace
                         : view.mode == ShutDownMode::fast && view.in_phase >= kFastGrace) {
        return ShutdownStep::kill_all;
    }
    return ShutdownStep::wait;
}

} // namespace pgbalancer
