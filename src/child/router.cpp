#include "child/router.h"

#include <limits>
#include <utility>

namespace pgbalancer {

namespace {

using Kind = RedirectTarget::Kind;

constexpr double kRandoms = 4294967296.0; // 32 bits' worth

// One decision among the nodes.
class Choice {
  public:
    Choice(const RouteSession &session, const Topology &nodes, const LoadBalancing &how, int64_t global_mark_us,
           uint64_t random)
        : session_(session), nodes_(nodes), how_(how), mark_us_(std::max(session.mark_us, global_mark_us)),
          random_(random) {}

    Route make();
    // Of the standbys alone, whatever is configured: a hint.
    Route standby();

    // The standby is known to show what the session must see.
    bool shows_enough(int index) const {
        const RoutingNode &node = nodes_[index];
        if (!how_.fresh) {
            return true;
        }
        if (index != session_.read_from && session_.read_us != 0 &&
            node.fresh_until_us <= std::min(session_.read_us, session_.changed_us)) {
            return false;
        }
        return (mark_us_ == 0 || node.fresh_until_us > mark_us_) && node.fresh_until_us >= session_.seen_us &&
               (node.fresh_until_us != 0 || !nodes_.positions_expected());
    }

  private:
    // Which nodes a draw is made among.
    struct Among {
        bool primary = true;
        bool standbys = true;
        bool fresh_only = false;
        bool unweighted = false; // weights of 0 do not exclude
        int only = -1;
        int but = -1;
        bool but_standbys = false;
    };

    bool lags(int index) const {
        const RoutingNode &node = nodes_[index];
        return (how_.max_lag_bytes != 0 && (!node.lag_known || node.lag_bytes > how_.max_lag_bytes)) ||
               (how_.max_delay_us != 0 && (node.delay_us < 0 || node.delay_us > how_.max_delay_us));
    }
    bool eligible(int index, const Among &among) const;
    int draw(const Among &among, uint32_t random) const;
    double weight(int index, const Among &among) const { return among.unweighted ? 1 : nodes_[index].weight; }
    int choose(RouteReason &reason) const;
    Among preferred() const;
    Route resolve(int chosen, RouteReason reason) const;
    Route to_primary(RouteReason reason) const { return {.node = nodes_.primary(), .reason = reason}; }
    uint32_t low_bits() const { return static_cast<uint32_t>(random_); }

    const RouteSession &session_;
    const Topology &nodes_;
    const LoadBalancing &how_;
    int64_t mark_us_;
    uint64_t random_;
};

bool Choice::eligible(int index, const Among &among) const {
    const RoutingNode &node = nodes_[index];
    if ((among.only >= 0 && index != among.only) || index == among.but || (among.but_standbys && node.standby)) {
        return false;
    }
    if (node.standby) {
        return among.standbys && (node.weight > 0 || among.unweighted) && (!among.fresh_only || shows_enough(index));
    }
    return among.primary && index == nodes_.primary() && node.up && (node.weight > 0 || among.unweighted);
}

// By weight, or by weight among those with the fewest connections in use for their weights. -1 = nobody is eligible.
int Choice::draw(const Among &among, uint32_t random) const {
    const auto load = [&](int i) { return nodes_[i].active / weight(i, among); };
    double most = std::numeric_limits<double>::infinity();
    for (int i = 0; how_.policy == LoadBalancePolicy::least_connections && i < nodes_.size(); i++) {
        most = eligible(i, among) ? std::min(most, load(i)) : most;
    }
    const auto may = [&](int i) { return eligible(i, among) && load(i) <= most; };
    double total = 0;
    int last = -1;
    for (int i = 0; i < nodes_.size(); i++) {
        if (may(i)) {
            total += weight(i, among);
            last = i;
        }
    }
    double point = total * (static_cast<double>(random) / kRandoms);
    for (int i = 0; i < last; i++) {
        if (may(i)) {
            if (point < weight(i, among)) {
                return i;
            }
            point -= weight(i, among);
        }
    }
    return last;
}

Choice::Among Choice::preferred() const {
    switch (session_.redirect.kind) {
    case Kind::primary: return {.standbys = false, .unweighted = true};
    case Kind::standby: return {.primary = false};
    case Kind::node: return {.unweighted = true, .only = nodes_.find_id(session_.redirect.node_id)};
    case Kind::none: break;
    }
    return {};
}

// A node for the session, the transaction or the statement, wherever that has got to; -1 = none.
int Choice::choose(RouteReason &reason) const {
    const RedirectTarget &redirect = session_.redirect;
    const Among all{};
    if (redirect.kind == Kind::none || (redirect.kind == Kind::node && nodes_.find_id(redirect.node_id) < 0)) {
        return draw(all, low_bits());
    }
    const auto threshold = static_cast<double>(redirect.ratio) * kRandoms;
    if (static_cast<double>(random_ >> 32) < threshold) {
        Among target = preferred();
        int node = draw(target, low_bits());
        if (node < 0) { // all weights may be 0
            target.unweighted = true;
            node = draw(target, low_bits());
        }
        if (node >= 0) {
            reason = RouteReason::preference;
            return node;
        }
        return draw(all, low_bits());
    }
    // The rest goes to the others.
    Among others{};
    switch (redirect.kind) {
    case Kind::primary: others.primary = false; break;
    case Kind::standby: others.but_standbys = true; break;
    case Kind::node: others.but = nodes_.find_id(redirect.node_id); break;
    case Kind::none: break;
    }
    const int node = draw(others, low_bits());
    return node >= 0 ? node : draw(all, low_bits());
}

// From the chosen node to the one that serves this statement.
Route Choice::resolve(int chosen, RouteReason reason) const {
    if (!nodes_[chosen].standby) {
        return to_primary(reason);
    }
    if (!shows_enough(chosen)) {
        chosen = draw({.primary = false, .fresh_only = true}, low_bits());
        if (chosen < 0) {
            return to_primary(RouteReason::stale);
        }
    }
    if (!lags(chosen)) {
        return {.node = chosen, .reason = reason};
    }
    if (!how_.prefer_lower_lag) {
        return to_primary(RouteReason::lagging);
    }
    int least = -1;
    for (int i = 0; i < nodes_.size(); i++) {
        if (eligible(i, {.primary = false, .fresh_only = true}) && !lags(i) &&
            (least < 0 || std::pair(nodes_[i].lag_bytes, nodes_[i].delay_us) <
                              std::pair(nodes_[least].lag_bytes, nodes_[least].delay_us))) {
            least = i;
        }
    }
    return least < 0 ? to_primary(RouteReason::lagging) : Route{.node = least, .reason = RouteReason::lower_lag};
}

Route Choice::make() {
    const bool keeps = !how_.per_statement || session_.announced != Announced::no_transaction;
    RouteReason reason = RouteReason::balanced;
    int chosen = session_.chosen;
    if (!keeps || chosen < 0 || session_.chosen_version != nodes_.version()) {
        chosen = choose(reason);
    } else if (session_.chosen_by_preference) {
        reason = RouteReason::preference;
    }
    if (chosen < 0) {
        return to_primary(RouteReason::unusable);
    }
    Route route = resolve(chosen, reason);
    route.chosen = keeps ? static_cast<int16_t>(chosen) : int16_t{-1};
    route.by_preference = reason == RouteReason::preference;
    return route;
}

Route Choice::standby() {
    const int node = draw({.primary = false, .fresh_only = true, .unweighted = false}, low_bits());
    if (node >= 0) {
        return {.node = node, .reason = RouteReason::hint};
    }
    const int any = draw({.primary = false, .fresh_only = true, .unweighted = true}, low_bits());
    return any >= 0 ? Route{.node = any, .reason = RouteReason::hint} : to_primary(RouteReason::stale);
}

RouteReason reason_of(Tie tie) {
    switch (tie) {
    case Tie::pinned: return RouteReason::pinned;
    case Tie::session_mode: return RouteReason::session_mode;
    default: return RouteReason::in_transaction;
    }
}

bool wrote_too_much(const RouteSession &session, DisableOnWrite on_write) {
    switch (on_write) {
    case DisableOnWrite::always: return session.wrote;
    case DisableOnWrite::trans_transaction:
        return session.wrote_in_transaction && session.announced != Announced::no_transaction;
    default: return false;
    }
}

} // namespace

void RoutingNeed::merge(const RoutingNeed &other) {
    if (standby && !other.standby) {
        why = other.why;
    }
    standby &= other.standby;
    hintable &= other.hintable;
    changes |= other.changes;
    shows_now |= other.shows_now;
    if (other.hint == RoutingHint::none || hint == RoutingHint::primary) {
        return;
    }
    const bool differs = hint != RoutingHint::none && (hint != other.hint || hint_node != other.hint_node);
    hint = differs ? RoutingHint::primary : other.hint;
    hint_node = other.hint_node;
}

LoadBalancing LoadBalancing::of(const Config &config) {
    using std::chrono::microseconds;
    return {.enabled = config.load_balance_mode,
            .per_statement = config.statement_level_load_balance,
            .prefer_lower_lag = config.prefer_lower_delay_standby,
            .fresh = config.read_your_writes != ReadYourWrites::off,
            .global = config.read_your_writes == ReadYourWrites::global,
            .policy = config.load_balance_policy,
            .on_write = config.disable_load_balance_on_write,
            .max_lag_bytes = config.delay_threshold,
            .max_delay_us = microseconds(config.delay_threshold_by_time).count()};
}

Route decide_route(const RoutingNeed &need, const RouteSession &session, const Topology &nodes,
                   const LoadBalancing &how, int64_t global_mark_us, uint64_t random) {
    const auto to_primary = [&](RouteReason reason) { return Route{.node = nodes.primary(), .reason = reason}; };
    if (session.tie != Tie::none) {
        return to_primary(reason_of(session.tie));
    }
    if (!nodes.any_standby()) {
        return to_primary(RouteReason::single);
    }
    if (need.hint == RoutingHint::primary) {
        return to_primary(RouteReason::hint);
    }
    const int hinted = need.hint == RoutingHint::node ? nodes.find_id(need.hint_node) : -1;
    if (hinted >= 0 && hinted == nodes.primary()) {
        return to_primary(RouteReason::hint);
    }
    const bool to_standby = need.hint == RoutingHint::standby || (hinted >= 0 && nodes[hinted].standby);
    if (!need.standby && !(to_standby && need.hintable)) {
        return to_primary(need.why);
    }
    if (session.announced == Announced::isolated || session.isolation == DefaultIsolation::serializable) {
        return to_primary(RouteReason::isolation);
    }
    if (need.shows_now && session.announced != Announced::no_transaction) {
        return to_primary(RouteReason::now_in_transaction);
    }
    if (to_standby && hinted >= 0) {
        return {.node = hinted, .reason = RouteReason::hint};
    }
    Choice choice(session, nodes, how, global_mark_us, random);
    if (to_standby) {
        return choice.standby();
    }
    if (!how.enabled) {
        return to_primary(RouteReason::off);
    }
    if (wrote_too_much(session, how.on_write)) {
        return to_primary(RouteReason::wrote);
    }
    return choice.make();
}

void note_route(RouteSession &session, const Route &route, const Topology &nodes) {
    if (route.chosen >= 0) {
        session.chosen = route.chosen;
        session.chosen_version = nodes.version();
        session.chosen_by_preference = route.by_preference;
    }
    if (route.node >= 0 && nodes[route.node].standby) {
        session.seen_us = std::max(session.seen_us, nodes[route.node].fresh_until_us);
    }
}

void note_transaction_end(RouteSession &session, const LoadBalancing &how) {
    if (how.per_statement) {
        session.chosen = -1;
    }
}

} // namespace pgbalancer
