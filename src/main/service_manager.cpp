#include "main/service_manager.h"

#if __has_include("config.h")
#include "config.h"
#endif

#ifdef HAVE_LIBSYSTEMD

#include "common/clock.h"

#include <systemd/sd-daemon.h>
#include <unistd.h>

namespace pgbalancer {

// The process id is named because a daemon is not the process that systemd started.
void notify_ready(const std::string &status) {
    sd_notifyf(0, "READY=1\nMAINPID=%d\nSTATUS=%s", getpid(), status.c_str());
}

void notify_reloading() {
    const auto now = std::chrono::duration_cast<std::chrono::microseconds>(monotonic_now());
    sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%lld", static_cast<long long>(now.count()));
}

void notify_stopping() { sd_notify(0, "STOPPING=1"); }

} // namespace pgbalancer

#else

namespace pgbalancer {

void notify_ready(const std::string &) {}
void notify_reloading() {}
void notify_stopping() {}

} // namespace pgbalancer

#endif
