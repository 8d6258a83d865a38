// worker_process.h: what the parts of one worker share: the loop, the clock, the configuration, views of shared
// memory, the tables. One object per worker process, made after the fork, handed to every part by reference.
#pragma once

#include "child/acceptor.h"
#include "child/auth_hba.h"
#include "child/auth_key_cache.h"
#include "child/auth_passwd.h"
#include "child/cancel.h"
#include "child/endpoint.h"
#include "child/parameter_set.h"
#include "child/pool.h"
#include "child/prepared_statement.h"
#include "child/redirect_preference.h"
#include "child/resolver.h"
#include "child/routing_need.h"
#include "child/session.h"
#include "child/topology.h"
#include "child/worker.h"
#include "common/event_loop.h"
#include "main/control_channel.h"
#include "main/control_message.h"
#include "sql/statement_cache.h"

#include <memory>
#include <vector>

namespace pgbalancer {

class Worker {
  public:
    explicit Worker(WorkerContext context);
    ~Worker();

    // start(), and turn() until it is false; returns the exit code.
    int run();
    void start();
    // Waits for events and handles them. False: the worker has come to its end.
    bool turn();

    const Config &config() const { return context_.config; }
    SharedState &shared() { return *context_.shared; }
    WorkerCountersShm &counters() { return counters_; }
    int index() const { return context_.index; }
    EventLoop &loop() { return loop_; }
    // Milliseconds of the monotonic clock, read once per turn, exact to a tick of the kernel's (1 to 10 ms).
    int64_t now_ms() const { return now_ms_; }
    // Wall clock, microseconds, as of the same moment.
    int64_t now_us() const { return now_us_; }

    Outgoing &to_clients() { return to_clients_; }
    Outgoing &to_servers() { return to_servers_; }
    Pools &pools() { return pools_; }
    StatementCache &statements() { return statements_; }
    PreparedStatementTable &prepared() { return prepared_; }
    ParameterSetTable &parameters() { return parameters_; }
    const ParameterSetRef &no_settings() const { return no_settings_; }
    KeyCache &keys() { return keys_; }
    const PasswordFile &passwords() const { return passwords_; }
    const HbaRules &hba() const { return hba_; }
    Resolver &resolver() { return resolver_; }
    CancelCourier &cancels() { return cancels_; }

    // -- Routing. The nodes as of the end of the last turn.
    Topology &topology() { return topology_; }
    const RoutingRules &routing() const { return routing_; }
    // There may be a standby some time: sessions remember when they changed something.
    bool notes_changes() const { return topology_.size() > 1; }
    RouteDice &dice() { return dice_; }
    const RedirectPreferences &preferences() const { return preferences_; }

    // Where recv() puts bytes; valid within one callback.
    static constexpr size_t kScratchBytes = 65536;
    char *client_scratch() { return client_scratch_.get(); }
    char *server_scratch() { return server_scratch_.get(); }

    // -- Sessions.
    void add_client(UniqueFd fd, const PeerAddress &address);
    void session_closed(Session &session);
    Session *session(uint32_t index) { return index < sessions_.size() ? sessions_[index].get() : nullptr; }
    uint32_t session_slots() const { return static_cast<uint32_t>(sessions_.size()); }
    size_t session_count() const { return session_count_; }
    uint64_t next_session_identity() { return ++last_identity_; }
    bool draining() const { return shutting_down_; }

    // A client's CancelRequest: whose is it?
    void route_cancel(uint32_t pid, uint32_t secret);
    void report_suspect(int node);

  private:
    [[nodiscard]] bool load_credentials();
    void on_control(short what);
    void handle(const ControlMessage &message);
    void on_cancel_message(const CancelBody &body);
    void on_tick();
    void between_turns();
    void reload(const UniqueFd &text);
    void shut_down(ShutDownMode mode);
    void drain();
    void publish_statistics();

    void read_clocks();

    WorkerContext context_;
    WorkerCountersShm &counters_;
    EventLoop loop_;
    ControlChannel control_;
    IoEvent control_event_;
    TimerEvent tick_;
    int64_t now_ms_ = 0;
    int64_t now_us_ = 0;
    uint64_t defaults_generation_ = 0;
    bool shutting_down_ = false;
    bool drained_reported_ = false;
    int exit_code_ = -1; // set: leave the loop
    std::unique_ptr<char[]> client_scratch_;
    std::unique_ptr<char[]> server_scratch_;
    Outgoing to_clients_;
    Outgoing to_servers_;
    StatementCache statements_;
    PreparedStatementTable prepared_;
    ParameterSetTable parameters_;
    ParameterSetRef no_settings_;
    KeyCache keys_;
    PasswordFile passwords_;
    HbaRules hba_;
    Resolver resolver_;
    CancelCourier cancels_;
    Topology topology_;
    uint32_t rules_made_ = 1; // RoutingRules so far
    RoutingRules routing_;
    RedirectPreferences preferences_;
    RouteDice dice_;
    Pools pools_;
    std::vector<std::unique_ptr<Session>> sessions_;
    std::vector<uint32_t> free_sessions_;
    std::vector<std::unique_ptr<Session>> graveyard_;
    size_t session_count_ = 0;
    uint64_t last_identity_ = 0;
    Acceptor acceptor_;
};

} // namespace pgbalancer
