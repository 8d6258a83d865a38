#include "sql/builtin_names.h"

#include "sql/classification.h"

#include <algorithm>
#include <array>

namespace pgbalancer {

namespace {

struct NamedEffects {
    std::string_view name;
    uint32_t effects;
};

constexpr NamedEffects kFunctions[] = {
#define BUILTIN_FUNCTION(name, effects) {name, effects},
#include "sql/builtin_names.inc"
#undef BUILTIN_FUNCTION
};
constexpr std::string_view kOperators[] = {
#define BUILTIN_OPERATOR(name) name,
#include "sql/builtin_names.inc"
#undef BUILTIN_OPERATOR
};
constexpr std::string_view kTypes[] = {
#define BUILTIN_TYPE(name) name,
#include "sql/builtin_names.inc"
#undef BUILTIN_TYPE
};

constexpr uint32_t kSessionLock = kPinAdvisoryLock | kVolatile;
// Runs SQL text or reads relations that its arguments name.
constexpr uint32_t kRunsAnything = kOpaque | kVolatile;
constexpr uint32_t kServerFile = kVolatile | kNodeBound;

// What volatility alone does not say. A name that ends in * stands for all that begin so.
constexpr NamedEffects kSpecial[] = {
    {"age", kNow}, // age(x) counts from today
    {"currval", kReadsSequenceState | kVolatile},
    {"cursor_to_xml", kRunsAnything},
    {"cursor_to_xmlschema", kRunsAnything},
    {"current_setting", kNodeBound}, // which one is a literal, and transaction_read_only must come from the primary
    {"database_to_xml", kRunsAnything},
    {"database_to_xml_and_xmlschema", kRunsAnything},
    {"database_to_xmlschema", kRunsAnything},
    {"inet_client_addr", kNodeBound},
    {"inet_client_port", kNodeBound},
    {"inet_server_addr", kNodeBound},
    {"inet_server_port", kNodeBound},
    {"lastval", kReadsSequenceState | kVolatile},
    {"nextval", kPinSequence | kVolatile},
    {"now", kNow},
    {"pg_advisory_lock", kSessionLock},
    {"pg_advisory_lock_shared", kSessionLock},
    {"pg_advisory_unlock", kMayUnpin | kVolatile},
    {"pg_advisory_unlock_all", kMayUnpin | kVolatile},
    {"pg_advisory_unlock_shared", kMayUnpin | kVolatile},
    {"pg_backend_pid", kNodeBound},
    {"pg_backup_start", kPinSession | kVolatile}, // ends with its session
    {"pg_blocking_pids", kVolatile | kNodeBound},
    {"pg_conf_load_time", kNodeBound},
    {"pg_control_checkpoint", kNodeBound},
    {"pg_control_init", kNodeBound},
    {"pg_control_recovery", kNodeBound},
    {"pg_control_system", kNodeBound},
    // Replication slots can be temporary: the session's.
    {"pg_copy_logical_replication_slot", kPinSession | kVolatile},
    {"pg_copy_physical_replication_slot", kPinSession | kVolatile},
    {"pg_create_logical_replication_slot", kPinSession | kVolatile},
    {"pg_create_physical_replication_slot", kPinSession | kVolatile},
    {"pg_current_snapshot", kNodeBound},
    {"pg_current_xact_id", kVolatile}, // called stable, but takes a transaction id
    {"pg_current_xact_id_if_assigned", kNodeBound},
    {"pg_cursor", kNodeBound},
    {"pg_get_replication_slots", kNodeBound},
    {"pg_import_system_collations", kDdl | kVolatile},
    {"pg_is_in_recovery", kNodeBound},
    {"pg_is_other_temp_schema", kNodeBound},
    {"pg_last_wal_receive_lsn", kNodeBound},
    {"pg_last_wal_replay_lsn", kNodeBound},
    {"pg_last_xact_replay_timestamp", kNodeBound},
    {"pg_listening_channels", kNodeBound},
    {"pg_lock_status", kNodeBound},
    {"pg_ls_*", kServerFile},
    {"pg_my_temp_schema", kNodeBound},
    {"pg_postmaster_start_time", kNodeBound},
    {"pg_prepared_statement", kNamesPrepared | kNodeBound},
    {"pg_prepared_xact", kNodeBound},
    {"pg_read_binary_file", kServerFile},
    {"pg_read_file", kServerFile},
    {"pg_reload_conf", kAltersDefaults | kVolatile},
    {"pg_replication_origin_session_*", kPinSession | kVolatile},
    {"pg_replication_origin_xact_setup", kPinSession | kVolatile},
    {"pg_safe_snapshot_blocking_pids", kVolatile | kNodeBound},
    {"pg_sequence_last_value", kVolatile | kNodeBound},
    {"pg_show_all_settings", kNodeBound},
    {"pg_show_all_file_settings", kNodeBound},
    {"pg_stat_file", kServerFile},
    {"pg_stat_get_*", kNodeBound},
    {"pg_stat_have_stats", kNodeBound},
    {"pg_timezone_abbrevs", kNoEffect},
    {"pg_try_advisory_lock", kSessionLock},
    {"pg_try_advisory_lock_shared", kSessionLock},
    {"query_to_xml", kRunsAnything},
    {"query_to_xml_and_xmlschema", kRunsAnything},
    {"query_to_xmlschema", kRunsAnything},
    {"schema_to_xml", kRunsAnything},
    {"schema_to_xml_and_xmlschema", kRunsAnything},
    {"schema_to_xmlschema", kRunsAnything},
    // Which setting, and whether for the transaction only, are arguments.
    {"set_config", kSetsSetting | kOpaque | kVolatile},
    {"setseed", kPinSetting | kVolatile},
    {"setval", kPinSequence | kVolatile},
    {"table_to_xml", kRunsAnything},
    {"table_to_xml_and_xmlschema", kRunsAnything},
    {"table_to_xmlschema", kRunsAnything},
    {"transaction_timestamp", kNow},
    {"ts_rewrite", kRunsAnything},
    {"ts_stat", kRunsAnything},
    {"txid_current", kVolatile}, // as pg_current_xact_id
    {"txid_current_if_assigned", kNodeBound},
    {"txid_current_snapshot", kNodeBound},
};

// Functions of PostgreSQL 13 to 18 that 15 does not have. Those that run what a literal names are not among them.
constexpr NamedEffects kOtherVersions[] = {
    {"any_value", kNoEffect},
    {"array_reverse", kNoEffect},
    {"array_sample", kVolatile},
    {"array_shuffle", kVolatile},
    {"array_sort", kNoEffect},
    {"casefold", kNoEffect},
    {"crc32", kNoEffect},
    {"crc32c", kNoEffect},
    {"date_add", kNoEffect},
    {"date_subtract", kNoEffect},
    {"erf", kNoEffect},
    {"erfc", kNoEffect},
    {"gamma", kNoEffect},
    {"icu_unicode_version", kNoEffect},
    {"lgamma", kNoEffect},
    {"pg_backup_start_time", kNodeBound},
    {"pg_basetype", kNoEffect},
    {"pg_column_toast_chunk_id", kNoEffect},
    {"pg_is_in_backup", kNodeBound},
    {"pg_start_backup", kPinSession | kVolatile},
    {"pg_stop_backup", kVolatile},
    {"random_normal", kVolatile},
    {"to_bin", kNoEffect},
    {"to_oct", kNoEffect},
    {"unicode_assigned", kNoEffect},
    {"unicode_version", kNoEffect},
    {"uuid_extract_timestamp", kNoEffect},
    {"uuid_extract_version", kNoEffect},
    {"uuidv4", kVolatile},
    {"uuidv7", kVolatile},
    {"xmltext", kNoEffect},
};

constexpr std::string_view kNodeBoundRelations[] = {
    "pg_aios",
    "pg_backend_memory_contexts",
    "pg_cursors",
    "pg_file_settings",
    "pg_hba_file_rules",
    "pg_ident_file_mappings",
    "pg_locks",
    "pg_prepared_statements",
    "pg_prepared_xacts",
    "pg_replication_origin_status",
    "pg_replication_slots",
    "pg_sequences",
    "pg_settings",
    "pg_shmem_allocations",
    "pg_shmem_allocations_numa",
};
// The serial types are CREATE TABLE's own; pg_type does not know them.
constexpr std::string_view kSerialTypes[] = {"bigserial", "serial", "serial2", "serial4", "serial8", "smallserial"};

static_assert(std::ranges::is_sorted(kFunctions, {}, &NamedEffects::name));
static_assert(std::ranges::is_sorted(kOtherVersions, {}, &NamedEffects::name));
static_assert(std::ranges::is_sorted(kOperators));
static_assert(std::ranges::is_sorted(kTypes));
static_assert(std::ranges::is_sorted(kNodeBoundRelations));

constexpr bool matches(std::string_view pattern, std::string_view name) {
    return pattern.ends_with('*') ? name.starts_with(pattern.substr(0, pattern.size() - 1)) : name == pattern;
}

// The generated table with kSpecial applied, made by the compiler.
constexpr auto kFunctionEffects = [] {
    std::array<NamedEffects, std::size(kFunctions)> table{};
    std::ranges::copy(kFunctions, table.begin());
    for (const NamedEffects &special : kSpecial) {
        for (auto at = std::ranges::lower_bound(table, special.name.substr(0, special.name.find('*')), {},
                                                &NamedEffects::name);
             at != table.end() && matches(special.name, at->name); ++at) {
            at->effects = special.effects;
        }
    }
    return table;
}();

} // namespace

std::optional<uint32_t> builtin_function_effects(std::string_view name) {
    const auto at = std::ranges::lower_bound(kFunctionEffects, name, {}, &NamedEffects::name);
    if (at != kFunctionEffects.end() && at->name == name) {
        return at->effects;
    }
    const auto other = std::ranges::lower_bound(kOtherVersions, name, {}, &NamedEffects::name);
    if (other != std::end(kOtherVersions) && other->name == name) {
        return other->effects;
    }
    // A type's name called like a function is a cast.
    return std::ranges::binary_search(kTypes, name) ? std::optional<uint32_t>(kNoEffect) : std::nullopt;
}

bool is_builtin_operator(std::string_view name) { return std::ranges::binary_search(kOperators, name); }

bool is_builtin_type(std::string_view name) {
    return std::ranges::binary_search(kTypes, name) || std::ranges::binary_search(kSerialTypes, name);
}

uint32_t builtin_relation_effects(std::string_view name) {
    if (name.starts_with("pg_stat_") || name.starts_with("pg_statio_") ||
        std::ranges::binary_search(kNodeBoundRelations, name)) {
        return kNodeBound | (name == "pg_prepared_statements" ? uint32_t{kNamesPrepared} : 0);
    }
    return kNoEffect;
}

} // namespace pgbalancer
