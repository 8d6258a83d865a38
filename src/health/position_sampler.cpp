#include "health/position_sampler.h"

#include <algorithm>
#include <optional>

namespace pgbalancer {

namespace {

using namespace std::chrono_literals;

constexpr std::chrono::milliseconds kShortestPeriod = 10ms;

std::vector<std::string> application_names(const Config &config) {
    std::vector<std::string> names;
    for (const BackendConfig &backend : config.backends) {
        names.push_back(backend.application_name);
    }
    return names;
}

// Nobody to log in as: positions stay unknown.
std::optional<NodeTarget> target_of(const BackendConfig &backend, const Config &config) {
    const bool own_user = !config.sr_check_user.empty();
    if (config.sr_check_period == 0ms || (!own_user && config.health_check_user.empty())) {
        return std::nullopt;
    }
    return NodeTarget{.host = backend.hostname,
                      .port = backend.port,
                      .user = own_user ? config.sr_check_user : config.health_check_user,
                      .password = own_user ? config.sr_check_password : config.health_check_password,
                      .database = config.sr_check_database};
}

} // namespace

PositionSampler::PositionSampler(EventLoop &loop, SharedState &shared, const Config &config)
    : loop_(loop), shared_(shared), table_(application_names(config)), published_(table_.positions()) {
    for (int i = 0; i < shared_.node_count(); i++) {
        shared_.publish_position(i, published_[static_cast<size_t>(i)]);
        links_.push_back(std::make_unique<PositionLink>(loop_, i, config.backends[static_cast<size_t>(i)].id,
                                                        static_cast<PositionLink::Owner &>(*this)));
    }
    configure(config);
}

void PositionSampler::configure(const Config &config) {
    table_.rename(application_names(config));
    for (size_t i = 0; i < links_.size(); i++) {
        links_[i]->configure(target_of(config.backends[i], config), config.health_check_timeout);
    }
    period_.disarm();
    if (config.sr_check_period != 0ms) {
        period_.arm<&PositionSampler::on_period>(loop_, std::max(config.sr_check_period, kShortestPeriod), this, true);
        on_period();
    }
}

void PositionSampler::on_period() {
    note_primary();
    for (const auto &link : links_) {
        link->ask();
    }
}

void PositionSampler::on_position(int node, const PositionSample &sample) {
    note_primary();
    table_.take(node, sample);
    publish();
}

void PositionSampler::on_position_lost(int node) {
    note_primary();
    table_.forget(node);
    publish();
}

void PositionSampler::note_primary() {
    const uint64_t generation = shared_.nodes_generation();
    if (generation == nodes_generation_) {
        return;
    }
    const int primary = shared_.primary_node();
    NodeSnapshot snapshot;
    if (primary >= 0 && !shared_.read_node(primary, snapshot)) {
        return;
    }
    nodes_generation_ = generation;
    const uint64_t epoch = primary < 0 ? 0 : snapshot.epoch;
    if (primary != table_.primary() || epoch != table_.epoch()) {
        table_.restart(primary, epoch);
        publish();
    }
}

void PositionSampler::publish() {
    for (size_t i = 0; i < published_.size(); i++) {
        if (!(table_.positions()[i] == published_[i])) {
            published_[i] = table_.positions()[i];
            shared_.publish_position(static_cast<int>(i), published_[i]);
        }
    }
}

} // namespace pgbalancer
