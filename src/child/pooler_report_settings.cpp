// SHOW POOL_STATUS and POOL_VERSION: what pgbalancer was told to do, and which pgbalancer it is.
#include "child/pooler_report.h"
#include "child/session.h"
#include "child/worker_process.h"
#include "config/config_loader.h"

#if __has_include("config.h")
#include "config.h"
#endif
#ifndef PGBALANCER_VERSION
#define PGBALANCER_VERSION "5.0.0"
#endif

namespace pgbalancer {

namespace {

constexpr std::string_view kStatusColumns[] = {"item", "value", "description"};

PoolerRows status_rows(Session &session, std::string_view) {
    PoolerRows rows;
    for (ParameterStatus &parameter : describe_parameters(session.worker().config())) {
        rows.push_back({std::move(parameter.name), std::move(parameter.value), std::string(parameter.help)});
    }
    return rows;
}

constexpr std::string_view kVersionColumns[] = {"pool_version"};

// The number comes first, as pgpool's exporter wants it.
PoolerRows version_rows(Session &, std::string_view) { return {{PGBALANCER_VERSION " (pgbalancer)"}}; }

} // namespace

constinit const PoolerReport kStatusReport{.columns = kStatusColumns, .rows = status_rows};
constinit const PoolerReport kVersionReport{.columns = kVersionColumns, .rows = version_rows};

} // namespace pgbalancer
