// service_manager.h: tells systemd how we are (sd_notify(3)). Does nothing without a service manager that asks for it
// (NOTIFY_SOCKET), or when built without libsystemd. Supervisor only.
#pragma once

#include <string>

namespace pgbalancer {

void notify_ready(const std::string &status);
void notify_reloading();
void notify_stopping();

} // namespace pgbalancer
