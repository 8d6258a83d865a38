#include "config/config_checks.h"

#include "common/unique_fd.h"
#include "config/parameter_table.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <sys/stat.h>

namespace pgbalancer {

namespace {

// 127.0.0.0/8, ::1 and the name that means them everywhere. Any other name may resolve to anything.
bool is_loopback(std::string_view address) {
    return address == "localhost" || address == "::1" || address.starts_with("127.");
}

class ConsistencyCheck {
  public:
    ConsistencyCheck(const Config &config, const SettingPlaces &places, bool complete, ProblemList &problems)
        : config_(config), places_(places), complete_(complete), problems_(problems) {}

    void run() const {
        check_backends();
        check_redirects("user_redirect_preference_list", config_.user_redirect_preference_list);
        check_redirects("database_redirect_preference_list", config_.database_redirect_preference_list);
        check_redirects("app_name_redirect_preference_list", config_.app_name_redirect_preference_list);
        check_positions();
        check_listeners();
        check_authentication();
        check_health();
        check_log();
    }

  private:
    int line_of(std::string_view name) const {
        const auto found = places_.find(name);
        return found == places_.end() ? 0 : found->second.line;
    }

    // Empty because nobody set it, as opposed to: because what was set could not be read.
    bool is_missing(std::string_view name, const std::string &value) const {
        const auto found = places_.find(name);
        return value.empty() && complete_ && (found == places_.end() || found->second.accepted);
    }

    static std::string name_of(std::string_view stem, const BackendConfig &backend) {
        return std::string(stem) + std::to_string(backend.id);
    }

    void check_backends() const {
        bool any = false;
        const BackendConfig *primary = nullptr;
        for (const BackendConfig &backend : config_.backends) {
            if (is_missing(name_of(kBackendHostname, backend), backend.hostname)) {
                check_unused(backend);
                continue;
            }
            any = true;
            check_same_server(backend);
            if (backend.always_primary && primary != nullptr) {
                problems_.error(line_of(name_of("backend_flag", backend)),
                                "node " + std::to_string(primary->id) + " is ALWAYS_PRIMARY already");
            }
            primary = backend.always_primary ? &backend : primary;
        }
        if (!any && complete_) {
            problems_.error(0, "there is no backend: set backend_hostname0");
        }
    }

    void check_unused(const BackendConfig &backend) const {
        const std::string hostname = name_of(kBackendHostname, backend);
        for (const Parameter &row : parameter_table()) {
            const std::string name = name_of(row.name, backend);
            if (row.per_node() && name != hostname && places_.contains(name)) {
                problems_.error(line_of(name), name + " is set but " + hostname + " is not");
            }
        }
    }

    void check_same_server(const BackendConfig &backend) const {
        for (const BackendConfig &other : config_.backends) {
            const bool same = other.hostname == backend.hostname && other.port == backend.port;
            if (same && other.id < backend.id && !backend.hostname.empty()) {
                problems_.warning(line_of(name_of(kBackendHostname, backend)),
                                  "nodes " + std::to_string(other.id) + " and " + std::to_string(backend.id) +
                                      " are the same server");
                return;
            }
        }
    }

    void check_redirects(std::string_view name, const std::vector<RedirectEntry> &entries) const {
        for (const RedirectEntry &entry : entries) {
            const bool exists = std::ranges::any_of(config_.backends, [&](const BackendConfig &backend) {
                return backend.id == entry.node_id && !backend.hostname.empty();
            });
            if (entry.kind == RedirectEntry::Kind::node && !exists && complete_) {
                problems_.error(line_of(name),
                                std::string(name) + ": there is no node " + std::to_string(entry.node_id));
            }
        }
    }

    void check_positions() const {
        if (config_.sr_check_period.count() > 0) {
            return;
        }
        for (const std::string_view name : {"delay_threshold", "delay_threshold_by_time"}) {
            const bool set =
                name == "delay_threshold" ? config_.delay_threshold > 0 : config_.delay_threshold_by_time.count() > 0;
            if (set) {
                problems_.warning(line_of(name), "no standby gets reads: " + std::string(name) +
                                                     " is set, but with sr_check_period = 0 no delay is known");
            }
        }
    }

    void check_listeners() const {
        if (config_.listen_addresses.empty() && config_.unix_socket_directories.empty()) { // neither is by default
            problems_.error(line_of("unix_socket_directories"),
                            "nobody could connect: listen_addresses and unix_socket_directories are both empty");
        }
    }

    void check_authentication() const {
        if (config_.enable_pool_hba) {
            if (is_missing("pool_hba_file", config_.pool_hba_file)) {
                problems_.error(line_of("enable_pool_hba"), "enable_pool_hba is on but pool_hba_file is not set");
            }
            return;
        }
        const int line = line_of("client_auth_method");
        if (config_.client_auth_method != ClientAuthMethod::trust) {
            if (is_missing("pool_passwd", config_.pool_passwd)) {
                problems_.warning(line, "no client can log in: client_auth_method needs the secrets in pool_passwd, "
                                        "which is not set");
            }
            return;
        }
        if (std::ranges::all_of(config_.listen_addresses, is_loopback)) {
            return;
        }
        problems_.warning(line, config_.allow_trust_remote
                                    ? "anyone who reaches listen_addresses can be any user: client_auth_method is "
                                      "trust and allow_trust_remote is on"
                                    : "client_auth_method is trust, so clients from other machines are refused "
                                      "unless allow_trust_remote is on");
    }

    void check_health() const {
        if (is_missing("health_check_user", config_.health_check_user)) {
            problems_.warning(0, "health_check_user is not set: the servers are checked as the operating system user "
                                 "pgbalancer runs as");
        }
        if (is_missing("sr_check_user", config_.sr_check_user) && !config_.sr_check_password.empty()) {
            problems_.warning(line_of("sr_check_password"), "sr_check_password is not used without sr_check_user");
        }
    }

    void check_log() const {
        if (config_.log_destination == LogDestination::file && is_missing("log_file", config_.log_file)) {
            problems_.error(line_of("log_destination"), "log_destination is file but log_file is not set");
        }
        if (config_.log_destination != LogDestination::file && !config_.log_file.empty()) {
            problems_.warning(line_of("log_file"), "log_file is not used unless log_destination is file");
        }
    }

    const Config &config_;
    const SettingPlaces &places_;
    const bool complete_;
    ProblemList &problems_;
};

void check_readable(const std::string &file, std::string_view name, const SettingPlaces &places,
                    ProblemList &problems) {
    if (file.empty()) {
        return;
    }
    const auto place = places.find(name);
    const int line = place == places.end() ? 0 : place->second.line;
    const std::string subject = std::string(name) + ": \"" + file + "\" ";
    // Non-blocking, so that a FIFO put in the file's place does not stop a reload.
    const UniqueFd fd(open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
    struct stat status {};
    if (!fd || fstat(fd.get(), &status) != 0) {
        problems.error(line, subject + "cannot be read: " + std::strerror(errno));
    } else if (!S_ISREG(status.st_mode)) {
        problems.error(line, subject + "is not a regular file");
    }
}

} // namespace

void check_consistency(const Config &config, const SettingPlaces &places, bool complete, ProblemList &problems) {
    ConsistencyCheck(config, places, complete, problems).run();
}

void check_files(const Config &config, const SettingPlaces &places, ProblemList &problems) {
    check_readable(config.pool_passwd, "pool_passwd", places, problems);
    check_readable(config.pool_hba_file, "pool_hba_file", places, problems);
    struct stat status {};
    const bool has_secret = !config.health_check_password.empty() || !config.sr_check_password.empty();
    if (has_secret && stat(config.source_path.c_str(), &status) == 0 && (status.st_mode & S_IROTH) != 0) {
        problems.warning(0, "this file holds a password and can be read by everyone");
    }
}

} // namespace pgbalancer
