#include "config/parameter_table.h"

#include "config/cpu_count.h"

#include <type_traits>
#include <utility>

namespace pgbalancer {

namespace {

using namespace std::chrono_literals;
using enum Section;

constexpr std::chrono::milliseconds kLongest = 720h; // libevent's and poll's intervals hold it on every platform

constexpr int value_of(auto enumerator) { return static_cast<int>(enumerator); }

constexpr Word kPoolModes[] = {
    {"transaction", value_of(PoolMode::transaction)},
    {"session", value_of(PoolMode::session)},
};

constexpr Word kClientAuthMethods[] = {
    {"scram-sha-256", value_of(ClientAuthMethod::scram_sha_256)},
    {"md5", value_of(ClientAuthMethod::md5)},
    {"password", value_of(ClientAuthMethod::password)},
    {"trust", value_of(ClientAuthMethod::trust)},
};

constexpr Word kLoadBalancePolicies[] = {
    {"random", value_of(LoadBalancePolicy::random)},
    {"least-connections", value_of(LoadBalancePolicy::least_connections)},
};

constexpr Word kDisableOnWrite[] = {
    {"off", value_of(DisableOnWrite::off)},
    {"transaction", value_of(DisableOnWrite::transaction)},
    {"trans_transaction", value_of(DisableOnWrite::trans_transaction)},
    {"always", value_of(DisableOnWrite::always)},
};

constexpr Word kReadYourWrites[] = {
    {"off", value_of(ReadYourWrites::off)},
    {"session", value_of(ReadYourWrites::session)},
    {"global", value_of(ReadYourWrites::global)},
};

constexpr Word kLogDestinations[] = {
    {"stderr", value_of(LogDestination::standard_error)},
    {"file", value_of(LogDestination::file)},
    {"syslog", value_of(LogDestination::syslog)},
};

// pgpool's and PostgreSQL's further levels are folded into ours.
constexpr Word kLogLevels[] = {
    {"debug", value_of(LogLevel::debug)},   {"info", value_of(LogLevel::info)},
    {"notice", value_of(LogLevel::notice)}, {"warning", value_of(LogLevel::warning)},
    {"error", value_of(LogLevel::error)},   {"fatal", value_of(LogLevel::fatal)},
    {"debug1", value_of(LogLevel::debug)},  {"debug2", value_of(LogLevel::debug)},
    {"debug3", value_of(LogLevel::debug)},  {"debug4", value_of(LogLevel::debug)},
    {"debug5", value_of(LogLevel::debug)},  {"log", value_of(LogLevel::notice)},
    {"panic", value_of(LogLevel::fatal)},
};

constexpr FlagWord kBackendFlags[] = {
    {"ALLOW_TO_FAILOVER", &BackendConfig::allow_to_failover, true},
    {"DISALLOW_TO_FAILOVER", &BackendConfig::allow_to_failover, false},
    {"ALWAYS_PRIMARY", &BackendConfig::always_primary, true},
};

template <auto Member> constexpr ChoiceType choice(std::span<const Word> words) {
    using Enum = std::remove_cvref_t<decltype(std::declval<Config &>().*Member)>;
    return {.words = words,
            .get = [](const Config &config) { return static_cast<int>(config.*Member); },
            .set = [](Config &config, int value) { config.*Member = static_cast<Enum>(value); }};
}

constexpr DurationType seconds(std::chrono::milliseconds Config::*field, std::chrono::milliseconds min,
                               std::chrono::milliseconds max) {
    return {.field = field, .unit = DurationUnit::seconds, .min = min, .max = max};
}

constexpr DurationType milliseconds(std::chrono::milliseconds Config::*field, std::chrono::milliseconds min,
                                    std::chrono::milliseconds max) {
    return {.field = field, .unit = DurationUnit::milliseconds, .min = min, .max = max};
}

constexpr bool kReload = true;
constexpr bool kRestart = false;

// clang-format off
constexpr Parameter kTable[] = {
    // --- Connections ---
    {"listen_addresses", connections, ListType{&Config::listen_addresses, ListKind::addresses}, "localhost", kRestart,
     "Host names or addresses to accept TCP connections on.",
     "'*' stands for every IPv4 and IPv6 address, an empty list for no TCP at all."},
    {"port", connections, PortType{&Config::port}, "9999", kRestart,
     "Port to accept connections on; also part of the Unix-domain socket's name."},
    {"unix_socket_directories", connections, ListType{&Config::unix_socket_directories, ListKind::directories}, "/tmp", kRestart,
     "Directories to make a Unix-domain socket in.",
     "An empty list means no Unix-domain sockets."},
    {"unix_socket_permissions", connections, PermissionsType{&Config::unix_socket_permissions}, "0777", kRestart,
     "Access permissions of the Unix-domain sockets.",
     "Always read as an octal number. Connecting takes write permission."},
    {"unix_socket_group", connections, TextType{&Config::unix_socket_group, TextKind::plain}, "", kRestart,
     "Group that owns the Unix-domain sockets.",
     "Empty leaves them with the group pgbalancer runs as."},
    {"max_client_conn", connections, IntType{&Config::max_client_conn, 1, 1000000}, "10000", kRestart,
     "Clients that may be connected at a time, over all workers.",
     "Further ones are refused with SQLSTATE 53300. The limit on open files is raised to fit and checked at start."},
    {"max_user_client_connections", connections, IntType{&Config::max_user_client_connections, 0, 1000000}, "0", kReload,
     "Clients that may be connected at a time as the same user.",
     "0 means no limit but max_client_conn."},
    {"max_db_client_connections", connections, IntType{&Config::max_db_client_connections, 0, 1000000}, "0", kReload,
     "Clients that may be connected at a time to the same database.",
     "0 means no limit but max_client_conn."},

    // --- Pooling ---
    {"num_init_children", pooling, IntType{&Config::num_init_children, 1, 1024, available_cpus}, "auto", kRestart,
     "Worker processes.",
     "A worker serves any number of clients, so this is about processor cores: 'auto' is one per core pgbalancer may use. "
     "All workers together hold at most num_init_children x max_pool server connections."},
    {"max_pool", pooling, IntType{&Config::max_pool, 1, 10000}, "32", kRestart,
     "Server connections one worker may hold, over all nodes together.",
     "Keep num_init_children x max_pool below the servers' max_connections."},
    {"pool_mode", pooling, choice<&Config::pool_mode>(kPoolModes), "transaction", kReload,
     "When a client's server connection goes back to the pool: after each transaction, or when the client leaves.",
     "In transaction mode, what would tie a client to its server connection (LISTEN, temporary tables, advisory locks...) is "
     "noticed and keeps the connection with that client for as long as needed. A change applies to new clients."},
    {"database_pool_mode", pooling, PoolModesType{&Config::database_pool_mode, kPoolModes}, "", kReload,
     "Pool mode of single databases, such as 'reports:session, shop:transaction'.",
     "Names are compared exactly. One that holds a comma or a double quote is written in double quotes."},
    {"user_pool_mode", pooling, PoolModesType{&Config::user_pool_mode, kPoolModes}, "", kReload,
     "Pool mode of single users, such as 'batch:session'.",
     "Takes precedence over database_pool_mode."},

    // --- Backends ---
    {kBackendHostname, backends, TextType{&BackendConfig::hostname, TextKind::host}, "", kRestart,
     "Host name or address of PostgreSQL server N.",
     "A value that starts with '/' is the directory of the server's Unix-domain socket, the fastest way to a server on this "
     "machine. A node exists when this is set."},
    {"backend_port", backends, PortType{&BackendConfig::port}, "5432", kRestart,
     "Port of server N."},
    {"backend_weight", backends, RealType{&BackendConfig::weight, 0, 1000000}, "1", kReload,
     "Share of the reads that server N gets, relative to the other servers' weights.",
     "0 means none."},
    {"backend_data_directory", backends, TextType{&BackendConfig::data_directory, TextKind::plain}, "", kReload,
     "Data directory of server N, on that server's machine.",
     "Only needed by what works on the server's files."},
    {"backend_flag", backends, BackendFlagsType{kBackendFlags}, "ALLOW_TO_FAILOVER", kReload,
     "What may be done with server N: ALLOW_TO_FAILOVER or DISALLOW_TO_FAILOVER, and ALWAYS_PRIMARY, joined by '|'.",
     "ALWAYS_PRIMARY names the primary whatever the server says about itself; only one node may have it."},
    {"backend_application_name", backends, TextType{&BackendConfig::application_name, TextKind::plain}, "", kReload,
     "Name server N uses in its primary_conninfo when it is a standby.",
     "Empty means 'serverN'."},

    // --- Load balancing ---
    {"load_balance_mode", load_balancing, BoolType{&Config::load_balance_mode}, "on", kReload,
     "Send reads to standbys too.",
     "A read is a statement that is proven to change nothing and to be answered alike by every node. Off sends everything to "
     "the primary, hints in statements aside. Clients in session mode are not balanced."},
    {"load_balance_policy", load_balancing, choice<&Config::load_balance_policy>(kLoadBalancePolicies), "random", kReload,
     "How a node is chosen among those that may serve a read: by chance, or the one with the fewest connections in use.",
     "Both go by backend_weightN. Connections in use are counted per worker."},
    {"statement_level_load_balance", load_balancing, BoolType{&Config::statement_level_load_balance}, "off", kReload,
     "Choose a node for every statement instead of once per session.",
     "A transaction's reads stay on one node either way."},
    {"disable_load_balance_on_write", load_balancing, choice<&Config::disable_load_balance_on_write>(kDisableOnWrite), "transaction", kReload,
     "Which reads of a session that has written go to the primary: those in the same transaction, those in all further "
     "transactions it begins (trans_transaction), or all (always).",
     "off is the same as transaction: what is not committed yet is on no standby."},
    {"read_your_writes", load_balancing, choice<&Config::read_your_writes>(kReadYourWrites), "session", kReload,
     "What a read on a standby must show: all that this session has written before, all that any session has written "
     "through this pgbalancer (global), or whatever the standby has (off).",
     "A standby is used when it is known to have replayed that much, else the primary is. That takes sr_check_period and "
     "sr_check_user; without them a session that has written reads from the primary."},
    {"read_only_function_list", load_balancing, PatternsType{&Config::read_only_function_list, PatternKind::names}, "", kReload,
     "Functions that write nothing, whatever the catalog says: a statement that calls no others of the users' own may go to a standby.",
     "Names as statements write them, with or without schema. Once it is set, statements that call other users' functions go "
     "to the primary. Of PostgreSQL's own functions it is known what they do."},
    {"write_function_list", load_balancing, PatternsType{&Config::write_function_list, PatternKind::names}, "", kReload,
     "Functions that write: what calls them goes to the primary.",
     "Volatile functions need not be listed; the catalog tells. This list is stronger than read_only_function_list."},
    {"primary_routing_query_pattern_list", load_balancing, PatternsType{&Config::primary_routing_query_pattern_list, PatternKind::queries}, "", kReload,
     "Queries that go to the primary.",
     "Without regard to case. A semicolon inside a pattern is written '\\;'; whether a query ends in one does not matter. Costs "
     "time for every read."},
    {"user_redirect_preference_list", load_balancing, RedirectsType{&Config::user_redirect_preference_list}, "", kReload,
     "Where the reads of some users go, such as 'postgres:primary, report.*:standby, batch:1(0.5)'.",
     "The ratio says how many of the choices are made so, the rest falls to the other nodes. The first that matches counts."},
    {"database_redirect_preference_list", load_balancing, RedirectsType{&Config::database_redirect_preference_list}, "", kReload,
     "Where reads in some databases go.",
     "Takes precedence over user_redirect_preference_list."},
    {"app_name_redirect_preference_list", load_balancing, RedirectsType{&Config::app_name_redirect_preference_list}, "", kReload,
     "Where the reads of some applications go, by the application_name they connect with.",
     "Takes precedence over database_redirect_preference_list. A name that is set later does not count."},
    {"delay_threshold", load_balancing, BytesType{&Config::delay_threshold}, "0", kReload,
     "A standby that is further behind the primary gets no reads.",
     "In bytes of write-ahead log, or with a unit of kB, MB, GB or TB. 0 means any distance will do."},
    {"delay_threshold_by_time", load_balancing, milliseconds(&Config::delay_threshold_by_time, 0ms, kLongest), "0", kReload,
     "A standby that is further behind the primary gets no reads.",
     "0 means any delay will do."},
    {"prefer_lower_delay_standby", load_balancing, BoolType{&Config::prefer_lower_delay_standby}, "off", kReload,
     "Where the chosen standby is behind by more than a delay_threshold, take the one that is least behind instead of the "
     "primary."},

    // --- Time-outs ---
    {"connect_timeout", timeouts, milliseconds(&Config::connect_timeout, 0ms, kLongest), "10s", kReload,
     "How long connecting to a server may take, login included.",
     "0 means no limit."},
    {"authentication_timeout", timeouts, seconds(&Config::authentication_timeout, 0ms, kLongest), "1min", kReload,
     "How long a client may take to log in.",
     "0 means no limit."},
    {"query_wait_timeout", timeouts, seconds(&Config::query_wait_timeout, 0ms, kLongest), "2min", kReload,
     "How long a client waits for a server connection to become free before it gets an error.",
     "0 means no limit."},
    {"client_idle_limit", timeouts, seconds(&Config::client_idle_limit, 0ms, kLongest), "0", kReload,
     "A client that is idle outside a transaction for longer is disconnected.",
     "0 means never."},
    {"idle_transaction_timeout", timeouts, seconds(&Config::idle_transaction_timeout, 0ms, kLongest), "0", kReload,
     "A client that is idle inside a transaction for longer is disconnected and the transaction rolled back.",
     "0 means never. A transaction counts from its BEGIN, even when no server has been asked yet."},
    {"connection_life_time", timeouts, seconds(&Config::connection_life_time, 0ms, kLongest), "0", kReload,
     "A server connection that no client has used for longer is closed.",
     "0 means never."},

    // --- Authentication ---
    {"enable_pool_hba", authentication, BoolType{&Config::enable_pool_hba}, "off", kReload,
     "Decide by the rules of pool_hba_file who may connect and how.",
     "When off, client_auth_method holds for everyone."},
    {"pool_hba_file", authentication, TextType{&Config::pool_hba_file, TextKind::path}, "", kReload,
     "File with the rules for clients, in the format of pg_hba.conf.",
     "Required with enable_pool_hba."},
    {"pool_passwd", authentication, TextType{&Config::pool_passwd, TextKind::path}, "", kReload,
     "File with the users' secrets, one 'user:secret' per line.",
     "A secret is a password written TEXTpassword, an md5 hash, or a SCRAM-SHA-256 verifier as in pg_authid. Nobody without a "
     "line gets in, except by trust."},
    {"client_auth_method", authentication, choice<&Config::client_auth_method>(kClientAuthMethods), "scram-sha-256", kReload,
     "How clients prove who they are when enable_pool_hba is off.",
     "With trust, clients are believed if they come from this machine (loopback or Unix-domain socket); others only if "
     "allow_trust_remote is on."},
    {"allow_trust_remote", authentication, BoolType{&Config::allow_trust_remote}, "off", kReload,
     "Let client_auth_method = trust also believe clients from other machines."},

    // --- Behaviour ---
    {"lazy_begin", behaviour, BoolType{&Config::lazy_begin}, "on", kReload,
     "Answer BEGIN at once and send it with the transaction's first statement.",
     "A client that thinks after BEGIN then occupies no server connection. The one difference: now() in that transaction is "
     "the time of its first statement."},
    {"sequence_pin", behaviour, BoolType{&Config::sequence_pin}, "on", kReload,
     "Keep the server connection with a client that called nextval or setval, since it may ask for currval or lastval.",
     "Turn it off if no application asks for them in a later transaction."},
    {"prepared_statement_cache_size", behaviour, IntType{&Config::prepared_statement_cache_size, 1, 65536}, "256", kReload,
     "Prepared statements kept on one server connection; the least recently used goes first.",
     "Clients may prepare any number: what is not on the connection they get is prepared again there. A change applies to "
     "new server connections."},
    {"statement_cache_size", behaviour, IntType{&Config::statement_cache_size, 16, 10000000}, "10000", kRestart,
     "Statements a worker remembers the analysis of."},
    {"relcache_expire", behaviour, seconds(&Config::relcache_expire, 0ms, kLongest), "0", kReload,
     "What was read from the system catalogs is read again after this time.",
     "0 means only after DDL that passed through pgbalancer."},

    // --- Health ---
    {"health_check_period", health, seconds(&Config::health_check_period, 100ms, 1h), "2s", kReload,
     "Pause between two checks of a server.",
     "The check is also what tells which server is the primary, so it cannot be turned off."},
    {"health_check_timeout", health, seconds(&Config::health_check_timeout, 100ms, 1h), "5s", kReload,
     "A check that takes longer has failed."},
    {"health_check_max_retries", health, IntType{&Config::health_check_max_retries, 0, 1000}, "0", kReload,
     "Failed checks that are repeated before a server is considered down."},
    {"health_check_retry_delay", health, seconds(&Config::health_check_retry_delay, 0ms, 1h), "1s", kReload,
     "Pause before a failed check is repeated."},
    {"health_check_user", health, TextType{&Config::health_check_user, TextKind::plain}, "", kReload,
     "User the checks log in as.",
     "Needs no right but to connect. Empty means the name of the operating system user pgbalancer runs as."},
    {"health_check_password", health, TextType{&Config::health_check_password, TextKind::secret}, "", kReload,
     "Password of health_check_user."},
    {"health_check_database", health, TextType{&Config::health_check_database, TextKind::plain}, "postgres", kReload,
     "Database the checks connect to."},
    {"sr_check_period", health, seconds(&Config::sr_check_period, 0ms, 1h), "200ms", kReload,
     "How often the servers are asked for their replication positions.",
     "0 means never: then nothing is known of how far standbys are behind. Anything else below 10ms means 10ms."},
    {"sr_check_user", health, TextType{&Config::sr_check_user, TextKind::plain}, "", kReload,
     "User that asks for the replication positions.",
     "Needs no right but to connect; as a member of pg_monitor it also sees the replication states. Empty means "
     "health_check_user with its password; with neither, positions are not known."},
    {"sr_check_password", health, TextType{&Config::sr_check_password, TextKind::secret}, "", kReload,
     "Password of sr_check_user."},
    {"sr_check_database", health, TextType{&Config::sr_check_database, TextKind::plain}, "postgres", kReload,
     "Database to connect to for the replication positions."},

    // --- Files and log ---
    {"pid_file_name", files_and_log, TextType{&Config::pid_file_name, TextKind::path}, "/var/run/pgbalancer/pgbalancer.pid", kRestart,
     "File that holds the daemon's process id.",
     "Its directory must exist and be writable."},
    {"work_dir", files_and_log, TextType{&Config::work_dir, TextKind::path}, "/var/lib/pgbalancer", kRestart,
     "Directory for what has to survive a restart."},
    {"log_destination", files_and_log, choice<&Config::log_destination>(kLogDestinations), "stderr", kReload,
     "Where messages go.",
     "With -n they always go to standard error."},
    {"log_file", files_and_log, TextType{&Config::log_file, TextKind::path}, "", kReload,
     "File to append messages to with log_destination = file.",
     "Opened again on SIGUSR1, so that it can be rotated."},
    {"log_min_messages", files_and_log, choice<&Config::log_min_messages>(kLogLevels), "notice", kReload,
     "The least important messages to write.",
     "debug1 to debug5 mean debug, log means notice, panic means fatal."},
    {"log_per_node_statement", files_and_log, BoolType{&Config::log_per_node_statement}, "off", kReload,
     "Write a message for each statement that is sent, with the node and the reason."},
    {"notice_per_node_statement", files_and_log, BoolType{&Config::notice_per_node_statement}, "off", kReload,
     "Send the client a NOTICE for each statement, with the node and the reason."},
    {"log_connections", files_and_log, BoolType{&Config::log_connections}, "off", kReload,
     "Write a message for each client that has logged in."},
    {"log_disconnections", files_and_log, BoolType{&Config::log_disconnections}, "off", kReload,
     "Write a message for each client that leaves."},
};
// clang-format on

constexpr std::string_view kSectionTitles[] = {
    "Connections",    "Pooling",   "Backends", "Load balancing", "Time-outs",
    "Authentication", "Behaviour", "Health",   "Files and log",
};

} // namespace

std::span<const Parameter> parameter_table() { return kTable; }

std::string_view section_title(Section section) { return kSectionTitles[static_cast<size_t>(section)]; }

} // namespace pgbalancer
