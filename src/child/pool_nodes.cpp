// pool_nodes.cpp: Pools when nodes come and go.
#include "child/pool.h"
#include "child/server_connection.h"
#include "child/session.h"
#include "child/worker_process.h"

#include <algorithm>

namespace pgbalancer {

void Pools::on_nodes_changed() {
    if (const int now = worker_.topology().primary(); now >= 0) {
        primary_ = now;
    }
    for (const auto &server : slots_) {
        if (server != nullptr && !serves(server->node())) {
            server->mark_stale();
            if (server->state() == ServerConnection::State::idle && !server->cancel_in_flight()) {
                server->close();
            }
        }
    }
    // What they wait for may be elsewhere now.
    std::vector<Session *> waiters;
    for_each_lane([&](Lane &lane) {
        lane.retry_ms = 0;
        if (!serves(lane.node)) {
            waiters.insert(waiters.end(), lane.waiters.begin(), lane.waiters.end());
            waiting_ -= lane.waiters.size();
            lane.waiters.clear();
        } else {
            open_for(lane);
        }
    });
    std::ranges::stable_sort(waiters, {}, &Session::waiting_since_ms);
    send_elsewhere(waiters);
    end_hopeless_reads();
}

// Reads under way on a node that is none for reads any more: it may never answer, and the primary will.
void Pools::end_hopeless_reads() {
    for (const auto &slot : slots_) {
        ServerConnection *server = slot.get();
        if (server != nullptr && !serves(server->node()) && server->read_guard() != nullptr &&
            server->read_guard()->may_run_again()) {
            server->close();
        }
    }
    worker_.to_servers().flush();
    worker_.to_clients().flush();
}

// The primary, or a standby that may be given reads. The last known primary is waited for.
bool Pools::serves(int node) const { return node >= 0 && (node == primary_ || worker_.topology()[node].standby); }

bool Pools::out_of_reach(Pool &pool, int node) const {
    const Lane &lane = pool.lane(node);
    return lane.failing_since_ms != 0 && worker_.now_ms() < lane.retry_ms && lane.idle.empty();
}

// They are in no queue any more.
void Pools::send_elsewhere(std::vector<Session *> &waiters) {
    count();
    for (Session *session : waiters) {
        session->look_again();
    }
    worker_.to_servers().flush();
    worker_.to_clients().flush();
}

} // namespace pgbalancer
