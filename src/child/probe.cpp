#include "child/probe.h"

#include "child/wire.h"

namespace pgbalancer {

std::string_view pin_reason_text(uint16_t reasons) {
    struct Name {
        uint16_t bit;
        std::string_view text;
    };
    static constexpr Name kNames[] = {
        {kPinnedByMode, "session mode"},
        {kPinnedByReplication, "replication"},
        {kPinnedByListen, "listen"},
        {kPinnedByTempObject, "temporary object"},
        {kPinnedByHoldCursor, "holdable cursor"},
        {kPinnedByAdvisoryLock, "advisory lock"},
        {kPinnedByPrepare, "prepared statement"},
        {kPinnedByLoad, "load"},
        {kPinnedBySequence, "sequence"},
        {kPinnedBySetting, "setting"},
        {kPinnedByUnknown, "unknown state"},
    };
    for (const auto &name : kNames) {
        if ((reasons & name.bit) != 0) {
            return name.text;
        }
    }
    return {};
}

std::string probe_query(const std::vector<std::string> &custom_settings) {
    std::string sql =
        "SELECT 'listen', ''::pg_catalog.text, ''::pg_catalog.text"
        " WHERE EXISTS (SELECT 1 FROM pg_catalog.pg_listening_channels())"
        " UNION ALL SELECT 'temp', '', '' WHERE pg_catalog.pg_my_temp_schema() OPERATOR(pg_catalog.<>) "
        "0::pg_catalog.oid"
        " AND EXISTS (SELECT 1 FROM pg_catalog.pg_depend"
        " WHERE refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_namespace'::pg_catalog.regclass"
        " AND refobjid OPERATOR(pg_catalog.=) pg_catalog.pg_my_temp_schema())"
        " UNION ALL SELECT 'temp schema', '', '' WHERE pg_catalog.pg_my_temp_schema() OPERATOR(pg_catalog.<>) "
        "0::pg_catalog.oid"
        " UNION ALL SELECT 'cursor', '', '' WHERE EXISTS (SELECT 1 FROM pg_catalog.pg_cursors WHERE is_holdable)"
        " UNION ALL SELECT 'prepared', '', '' WHERE EXISTS (SELECT 1 FROM pg_catalog.pg_prepared_statements WHERE "
        "from_sql)"
        " UNION ALL SELECT 'advisory', '', '' WHERE EXISTS (SELECT 1 FROM pg_catalog.pg_locks"
        " WHERE locktype OPERATOR(pg_catalog.=) 'advisory' AND pid OPERATOR(pg_catalog.=) pg_catalog.pg_backend_pid())"
        " UNION ALL SELECT 'role', '', '' WHERE pg_catalog.current_setting('role') OPERATOR(pg_catalog.<>) 'none'"
        " OR session_user OPERATOR(pg_catalog.<>) (SELECT usename FROM "
        "pg_catalog.pg_stat_get_activity(pg_catalog.pg_backend_pid())"
        " a JOIN pg_catalog.pg_user u ON u.usesysid OPERATOR(pg_catalog.=) a.usesysid)"
        " UNION ALL SELECT 'setting', name, setting FROM pg_catalog.pg_settings"
        " WHERE source OPERATOR(pg_catalog.=) 'session'"
        " AND name OPERATOR(pg_catalog.<>) 'transaction_isolation' AND name OPERATOR(pg_catalog.<>) "
        "'transaction_read_only'"
        " AND name OPERATOR(pg_catalog.<>) 'transaction_deferrable'";
    for (const auto &name : custom_settings) {
        const std::string quoted = quote_literal(name);
        sql += " UNION ALL SELECT 'setting', " + quoted + ", pg_catalog.current_setting(" + quoted +
               ", true) WHERE pg_catalog.current_setting(" + quoted + ", true) OPERATOR(pg_catalog.<>) ''";
    }
    return sql;
}

bool read_probe_row(std::string_view data_row, ProbeResult &result) {
    FieldReader fields(data_row);
    if (fields.u16() != 3) {
        return false;
    }
    std::string_view column[3];
    for (auto &value : column) {
        const uint32_t length = fields.u32();
        if (!fields.ok() || length == UINT32_MAX) {
            return false;
        }
        value = fields.bytes(length);
    }
    if (!fields.ok()) {
        return false;
    }
    const std::string_view kind = column[0];
    if (kind == "listen") {
        result.reasons |= kPinnedByListen;
    } else if (kind == "temp") {
        result.reasons |= kPinnedByTempObject;
    } else if (kind == "temp schema") {
        result.temp_schema = true;
    } else if (kind == "cursor") {
        result.reasons |= kPinnedByHoldCursor;
    } else if (kind == "prepared") {
        result.reasons |= kPinnedByPrepare;
    } else if (kind == "advisory") {
        result.reasons |= kPinnedByAdvisoryLock;
    } else if (kind == "role") {
        result.reasons |= kPinnedBySetting;
    } else if (kind == "setting") {
        std::string name(column[1]);
        for (char &c : name) {
            if (c >= 'A' && c <= 'Z') {
                c = static_cast<char>(c - 'A' + 'a');
            }
        }
        result.settings.push_back({std::move(name), setting_statement(column[1], column[2])});
    } else {
        return false;
    }
    return true;
}

} // namespace pgbalancer
