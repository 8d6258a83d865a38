// server_connection.h: one connection of a worker to one node, leased to one session at a time.
//
// Knows the protocol towards the server: connects and logs in, keeps account of the replies the server owes
// (expectation.h), passes replies on to the session's client without copying them, and keeps to itself what pgbalancer
// asked for its own purposes. Knows what is established on the connection: settings, prepared statements, transaction
// status. Owned by the worker's Pools; never deletes itself inside a callback (Pools reaps it at the end of the
// turn). Everything a server sends is checked before it is believed; nonsense ends the connection.
#pragma once

#include "child/auth_scram.h"
#include "child/endpoint.h"
#include "child/expectation.h"
#include "child/parameter_set.h"
#include "child/prepared_statement.h"
#include "child/probe.h"
#include "child/read_guard.h"
#include "child/resolver.h"
#include "child/wire.h"
#include "shm/layout.h"

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>

namespace pgbalancer {

class Pool;
class Session;
class Worker;

// What hangs on an expectation and is rarely needed.
struct Note {
    std::string name;               // the client's statement name
    PreparedStatementRef statement; // the statement parsed, described or closed
    uint64_t shape = 0;
    uint32_t version = 0;
    bool unnamed = false;     // the statement is the unnamed one
    bool materialise = false; // it was being prepared under the client's own name
    std::string substitute;   // unless empty, the ErrorResponse that the client gets instead of the server's
};
// Instead of a Note for a Parse of the unnamed statement, of which there are many.
constexpr uint32_t kUnnamedNote = UINT32_MAX;

constexpr uint64_t kUnknownSequenceOwner = UINT64_MAX;

class ServerConnection final : public Endpoint {
  public:
    enum class State : uint8_t { resolving, connecting, authenticating, idle, leased, internal, closed };

    ServerConnection(Worker &worker, Pool &pool, int slot, int node);
    ~ServerConnection();

    // Starts to connect and log in; the pool hears of the outcome. `birth`: startup settings of the sessions it is made
    // for, as statements (setting_statement), or none. `startup_packet`: a replication connection's own.
    void open(const NodeSnapshot &node, const ParameterSetRef &birth);
    void open_replication(const NodeSnapshot &node, std::string startup_packet);
    // Replication: whose connection this will be, from the start.
    void bind_replication(Session &session) { session_ = &session; }
    // From the pool, when opening failed: nobody is told.
    void close_unopened();
    void time_out_login();
    // Ends it now; the session that has it is told `why` (a whole ErrorResponse, may be empty).
    void close(std::string_view why = {});

    State state() const { return state_; }
    Pool &pool() const { return pool_; }
    int slot() const { return slot_; }
    int node() const { return node_; }
    Session *session() const { return session_; }
    uint32_t server_pid() const { return server_pid_; }
    uint32_t server_secret() const { return server_secret_; }
    int64_t opened_ms() const { return opened_ms_; }
    int64_t idle_since_ms() const { return idle_since_ms_; }
    bool stale() const { return stale_; } // to be closed instead of reused
    void mark_stale() { stale_ = true; }
    bool cancel_in_flight() const { return cancels_in_flight_ > 0; }
    void cancel_started() { cancels_in_flight_++; }
    void cancel_finished();

    // -- The lease.
    void lease_to(Session &session);
    // The session is done and nothing ties it: idle again.
    void end_lease();
    // The session has gone, whatever the state: clean up and become idle, or close.
    void abandon();

    // -- Sending, while leased.
    // `bytes` must stay valid until the gatherer is flushed.
    void send(std::string_view bytes) { out_.add(*this, bytes); }
    void send_copy(std::string_view bytes) { out_.add_copy(*this, bytes); }
    void send_sync();
    void send_flush();
    void expect(Reply reply, Purpose purpose = Purpose::client, uint32_t note = 0) {
        expected_.push({reply, purpose, note});
        open_batch_ = reply != Reply::sync && reply != Reply::query && reply != Reply::function_call;
        batch_ += open_batch_ ? 0 : 1;
    }
    // The number of the batch that the next message belongs to.
    uint32_t batch() const { return batch_; }
    uint32_t add_note(Note note);
    // The unnamed statement is in doubt: it comes from an earlier batch, which has not been answered yet.
    bool unnamed_undecided() const;
    // A reply pgbalancer gives itself, at this place in the order.
    void expect_locally(Reply reply, uint32_t note) { expected_.push({reply, Purpose::client, note}); }
    // The local replies at the front are due now (Flush).
    void deliver_local_replies();
    const ExpectationQueue &expected() const { return expected_; }
    bool queue_full() const { return expected_.size() >= kMaxExpected; }
    // Nothing is owed, and no batch was begun that only a Sync will commit.
    bool quiet() const { return expected_.empty() && !skipping_ && !open_batch_; }
    bool open_batch() const { return open_batch_; }
    // Something is under way, and a ReadyForQuery will be its end.
    bool ends_by_itself() const { return !copying_in_ && !expected_.empty() && expected_.ends_with_ready(); }
    bool skipping() const { return skipping_; }
    void stop_skipping() { skipping_ = false; }
    bool copying_in() const { return copying_in_; }
    void copy_in_ended();
    char transaction_status() const { return transaction_status_; }
    // The client has got only part of a message: whatever is told to it now is taken for the rest.
    bool mid_reply() const { return pass_through_ || (rest_bytes_ > 0 && forward_rest_); }

    // -- A read on a standby that can still be run again elsewhere (read_guard.h).
    // `batch`: all that the client sent of it, before any of it is sent on.
    ReadGuard &begin_read(std::string_view batch);
    // Null if none is under way.
    ReadGuard *read_guard() { return guard_ != nullptr && guard_->active() ? guard_.get() : nullptr; }

    // Sends a Query of pgbalancer's own.
    void send_internal_query(std::string_view sql, Purpose purpose);
    // Rows (kind, name, value) collected by the last probe.
    ProbeResult take_probe() { return std::move(probe_); }

    // -- What is established on this connection.
    const ParameterSetRef &settings() const { return settings_; }
    void set_settings(ParameterSetRef settings) {
        settings_ = std::move(settings);
        for (const auto &entry : settings_->entries()) {
            note_custom_setting(entry.name);
        }
    }
    // The startup settings in its own startup packet: what RESET restores there. Empty if it serves anybody.
    const ParameterSetRef &born_with() const { return born_with_; }
    const ParameterSetRef &reported() const { return reported_; }
    ServerStatements &statements() { return statements_; }
    struct Unnamed {
        bool exists = false;            // on the server, ours or another session's
        PreparedStatementRef statement; // null: not one that is known
        uint32_t version = 0;
        uint64_t shape = 0;
        uint32_t batch = 0; // that its Parse was part of
    };
    Unnamed &unnamed() { return unnamed_; }
    void forget_statements();

    // Who moved a sequence here last, so that currval() and lastval() are his; 0 = nobody since they were discarded;
    // kUnknownSequenceOwner = one of several, and none may see the others'.
    uint64_t sequence_owner() const { return sequence_owner_; }
    void set_sequence_owner(uint64_t session) { sequence_owner_ = session; }
    // Custom settings (names with a dot) once set on a connection stay visible there as empty strings. A session that
    // has not set them itself must not see them; nor may one started with other settings than the connection was, or
    // one that needs a connection of its own kind get another.
    // A server process makes its temporary schema once, and PostgreSQL treats the transaction that makes it as one that
    // has used temporary objects: who names pg_temp in search_path gets a process that has none yet.
    bool fits(const Session &session) const;
    void note_custom_setting(const std::string &name);
    void note_temp_schema();

    // -- Shown to operators.
    void publish_info(std::string_view pinned_reason);
    void publish_lease();
    // From time to time: whose lease it is, if that has changed.
    void publish_lessee();

    // The client can take bytes again.
    void resume_reading();

  private:
    void on_resolved(const ResolvedAddress *address, const std::string &error);
    friend class Resolver;
    void start_connect(const ResolvedAddress &address);
    void on_io(short what);
    void on_connected();
    void read_some();
    void read_buffered(std::string_view fresh);
    size_t process(std::string_view data);
    void protocol_violation(const char *what);
    void on_broken();
    void on_blocked() override;
    void wait_for(short what);
    bool has_all_custom_settings(const Session &session) const;

    // Login (server_login.cpp)
    void send_startup();
    size_t process_login(std::string_view data);
    bool on_authentication(std::string_view body);
    void fail_login(const std::string &message, std::string_view sqlstate);
    void login_refused(std::string_view report);
    void logged_in();

    // Replies (server_replies.cpp)
    bool on_message(char type, std::string_view message, bool &forward);
    bool pop(Reply reply, bool &forward);
    bool on_error(std::string_view message, bool &forward);
    bool on_ready(std::string_view message, bool &forward);
    bool on_parameter_status(std::string_view message, bool &forward);
    void on_copy_in();
    void on_describe_reply(char type, std::string_view body);
    void on_internal_row(Purpose purpose, std::string_view body);
    bool forward_renamed(std::string_view body);
    bool hold_notice(MessageHeader header, std::string_view data, size_t &pos, bool &incomplete);
    void pass(char type, std::string_view message);
    void release_held();
    bool muted() const { return guard_ != nullptr && guard_->refused(); }
    bool may_run_again() const { return guard_ != nullptr && guard_->may_run_again(); }
    bool refuse_read(const ServerReport &report, bool ours = false);
    std::string_view told_value(std::string_view name, std::string_view value) const;
    void drop_to_sync();
    void undo(const Expectation &expectation);
    bool internal_front() const { return !expected_.empty() && expected_.front().purpose != Purpose::client; }
    void decide(uint32_t note);
    void internal_finished(Purpose purpose, char status);
    void settle_local_replies();

    static constexpr size_t kMaxExpected = 4096;

    Worker &worker_;
    Outgoing &out_;            // the worker's, to servers
    ConnectionSlotShm &shown_; // to operators
    Pool &pool_;
    Session *session_ = nullptr;
    int slot_;
    int node_;
    State state_ = State::resolving;
    char transaction_status_ = 'I';
    bool forward_rest_ = false; // of the message whose body is passing through
    bool open_batch_ = false;   // messages of the extended protocol were sent since the last Sync
    bool skipping_ = false;     // the server ignores everything up to the next Sync
    bool copying_in_ = false;   // the server takes CopyData
    bool pass_through_ = false; // replication: no account is kept
    bool internal_failed_ = false;
    bool fatal_seen_ = false; // the server said why it ends
    bool stale_ = false;
    bool describing_ = false; // ParameterDescription came, RowDescription or NoData follows
    bool discarding_ = false; // DISCARD ALL was sent to clean up
    bool has_temp_schema_ = false;
    bool collecting_ = false;
    uint32_t cancels_in_flight_ = 0;
    uint32_t server_pid_ = 0;
    uint32_t server_secret_ = 0;
    uint32_t last_note_ = 0;
    uint32_t batch_ = 0;
    uint64_t rest_bytes_ = 0; // of the message passing through
    int64_t opened_ms_ = 0;
    int64_t idle_since_ms_ = 0;
    uint64_t uses_ = 0;
    uint64_t sequence_owner_ = 0;
    uint64_t shown_lessee_ = 0;
    std::vector<std::string> custom_settings_;
    int64_t created_us_ = 0;
    ExpectationQueue expected_;
    std::unordered_map<uint32_t, Note> notes_;
    Buffer in_;
    ParameterSetRef settings_;
    ParameterSetRef born_with_;
    ParameterSetRef reported_;
    ParameterSet::Entries reported_at_login_;
    ServerStatements statements_;
    Unnamed unnamed_;
    ShapeHash shape_;
    ProbeResult probe_;
    Error internal_error_;
    std::string internal_report_;
    std::string internal_value_;
    std::string node_host_;
    uint16_t node_port_ = 0;
    std::string startup_packet_;
    std::unique_ptr<ScramClient> scram_;
    std::unique_ptr<ReadGuard> guard_;
    ResolverTicket resolving_;
};

} // namespace pgbalancer
