// config.h: the validated, immutable configuration everybody but src/config works with.
//
// A Config is a value: made by src/config from the text of pgbalancer.conf or pgbalancer.yaml, then
// only read. A reload makes a new one; whoever holds the old one swaps it whole at a moment of its
// own choosing (a worker: between two turns of its loop). Durations are std::chrono, sizes bytes.
// Names, units, defaults and ranges are declared once, in src/config/parameter_table.cpp; the sample
// file and doc/CONFIGURATION.md are generated from it.
#pragma once

#include "common/log.h"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace pgbalancer {

enum class PoolMode : uint8_t { transaction, session };
// What reads outside the writing transaction still go to standbys once a session has written.
enum class DisableOnWrite : uint8_t { off, transaction, trans_transaction, always };
enum class LoadBalancePolicy : uint8_t { random, least_connections };
enum class ReadYourWrites : uint8_t { off, session, global };
// One entry of a redirect preference list.
struct RedirectEntry {
    enum class Kind : uint8_t { primary, standby, node };
    std::string pattern; // POSIX extended regular expression, for the whole name
    Kind kind = Kind::primary;
    uint16_t node_id = 0; // N of backend_*N
    double ratio = 1;     // of the choices that it decides
    bool operator==(const RedirectEntry &) const = default;
};
enum class ClientAuthMethod : uint8_t { scram_sha_256, md5, password, trust };

// One backend_*N group. `id` is N; ids may have gaps.
struct BackendConfig {
    int id = 0;
    std::string hostname; // host name, address, or a directory: the server's Unix-domain socket is in it
    uint16_t port = 5432;
    double weight = 1.0;
    std::string application_name; // backend_application_nameN, default "serverN"
    std::string data_directory;   // may be empty
    bool allow_to_failover = true;
    bool always_primary = false;
};

struct Config {
    std::string source_path; // absolute path of the file this was read from

    // Connections
    std::vector<std::string> listen_addresses; // "*" = all IPv4 and IPv6; empty = no TCP
    uint16_t port = 9999;
    std::vector<std::string> unix_socket_directories; // empty = none
    unsigned unix_socket_permissions = 0777;
    std::string unix_socket_group;       // empty = unchanged
    int num_init_children = 0;           // workers; `auto` is already resolved to the number of cores
    int max_pool = 32;                   // server connections per worker, over all nodes together
    int max_client_conn = 10000;         // clients, over all workers
    int max_user_client_connections = 0; // 0 = no limit
    int max_db_client_connections = 0;
    PoolMode pool_mode = PoolMode::transaction;
    std::vector<std::pair<std::string, PoolMode>> database_pool_mode; // first match wins, exact names
    std::vector<std::pair<std::string, PoolMode>> user_pool_mode;     // user beats database

    // Backends, ascending id
    std::vector<BackendConfig> backends;

    // Time-outs; 0 = never
    std::chrono::milliseconds connect_timeout{10000};        // to a server, login included
    std::chrono::milliseconds authentication_timeout{60000}; // of a client
    std::chrono::milliseconds query_wait_timeout{120000};    // waiting for a server connection
    std::chrono::milliseconds client_idle_limit{0};          // outside a transaction
    std::chrono::milliseconds idle_transaction_timeout{0};   // inside one, deferred ones included
    std::chrono::milliseconds connection_life_time{0};       // an idle server connection is closed after

    // Authentication
    bool enable_pool_hba = false;
    std::string pool_hba_file; // absolute
    std::string pool_passwd;   // absolute; empty = none
    ClientAuthMethod client_auth_method = ClientAuthMethod::scram_sha_256;
    bool allow_trust_remote = false;

    // Load balancing
    bool load_balance_mode = true;
    LoadBalancePolicy load_balance_policy = LoadBalancePolicy::random;
    bool statement_level_load_balance = false;
    DisableOnWrite disable_load_balance_on_write = DisableOnWrite::transaction;
    ReadYourWrites read_your_writes = ReadYourWrites::session;
    std::vector<std::string> read_only_function_list; // POSIX extended regular expressions, for whole names
    std::vector<std::string> write_function_list;
    std::vector<std::string> primary_routing_query_pattern_list;  // likewise, for whole texts
    std::vector<RedirectEntry> user_redirect_preference_list;     // first match wins
    std::vector<RedirectEntry> database_redirect_preference_list; // beats user
    std::vector<RedirectEntry> app_name_redirect_preference_list; // beats database
    uint64_t delay_threshold = 0;                                 // bytes; 0 = any
    std::chrono::milliseconds delay_threshold_by_time{0};         // 0 = any
    bool prefer_lower_delay_standby = false;
    bool log_per_node_statement = false;
    bool notice_per_node_statement = false;

    // Behaviour
    bool lazy_begin = true;
    bool sequence_pin = true;
    int prepared_statement_cache_size = 256;      // server-side prepared statements kept per server connection
    int statement_cache_size = 10000;             // classified statements kept per worker
    std::chrono::milliseconds relcache_expire{0}; // catalog facts are read again after; 0 = on DDL only

    // Health
    std::chrono::milliseconds health_check_period{2000};
    std::chrono::milliseconds health_check_timeout{5000};
    int health_check_max_retries = 0;
    std::chrono::milliseconds health_check_retry_delay{1000};
    std::string health_check_user;
    std::string health_check_password;
    std::string health_check_database = "postgres";
    std::chrono::milliseconds sr_check_period{200}; // 0 = off
    std::string sr_check_user;                      // empty = health_check_user, its password with it
    std::string sr_check_password;
    std::string sr_check_database = "postgres";

    // Files and log
    std::string pid_file_name; // absolute
    std::string work_dir;      // absolute
    LogDestination log_destination = LogDestination::standard_error;
    std::string log_file; // absolute; used with log_destination = 'file'
    LogLevel log_min_messages = LogLevel::notice;
    bool log_connections = false;
    bool log_disconnections = false;

    PoolMode pool_mode_for(const std::string &database, const std::string &user) const;
};

} // namespace pgbalancer
