// session.h: one client connection and the virtual server session behind it.
//
// Lives in one worker from accept to close. Speaks the protocol towards the client; leases a server connection when a
// message needs one and gives it back when the server says that no transaction is open and nothing ties the two. What
// PostgreSQL would keep per session is kept here: settings, prepared statements, a BEGIN not sent yet. Subjects, a file
// each: session.cpp (socket, life), session_login.cpp (startup, authentication), session_messages.cpp (what the
// client sends), session_begin.cpp (the deferred BEGIN), session_effects.cpp (what a statement may leave behind),
// session_transaction.cpp (boundaries of transactions: lease, settings, pins, probe), session_resets.cpp (settings that
// go back to what the client started with), session_routing.cpp (to which node; reads on a standby).
// Small, because there are thousands: buffers and login state exist only while needed.
#pragma once

#include "child/endpoint.h"
#include "child/expectation.h"
#include "child/parameter_set.h"
#include "child/prepared_statement.h"
#include "child/probe.h"
#include "child/router.h"
#include "child/wire.h"
#include "common/result.h"
#include "sql/statement_cache.h"

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace pgbalancer {

class Pool;
class ServerConnection;
class Worker;
class ParsedAhead;
struct LoginState;
struct Note;

// A SET or RESET under way: takes effect for the session when it has succeeded.
struct PendingSetting {
    bool alone;                      // the whole Query, outside a transaction: then no probe is needed
    std::string name;                // of the one
    std::string statement;           // of a SET, whole
    std::vector<std::string> resets; // the names of those reset; "all": all of them
};

class Session final : public Endpoint {
  public:
    enum class Phase : uint8_t {
        startup,        // waiting for the first packet
        authenticating, // waiting for an answer to an authentication request
        login,          // waiting to learn the parameters to report, from a server
        ready,
        closing, // flushes what is pending, then goes
        closed,
    };
    // Where the client believes its transaction to be while no server knows of it.
    enum class Virtual : uint8_t {
        none,
        deferred, // BEGIN answered, not sent yet
        failed,   // the deferred transaction failed before it reached a server
    };

    Session(Worker &worker, UniqueFd fd, uint32_t index, std::unique_ptr<LoginState> login);
    ~Session();

    Worker &worker() { return worker_; }
    uint32_t index() const { return index_; }
    // Unlike the index never used again; not 0.
    uint64_t identity() const { return identity_; }
    Phase phase() const { return phase_; }
    Pool *pool() const { return pool_; }
    ServerConnection *server() const { return server_; }
    uint64_t cancel_key() const { return cancel_key_; }
    uint16_t pins() const { return pins_; }
    // What the session did to its server connection cannot be undone by DISCARD ALL, or leaves visible traces.
    bool leaves_unknown_state() const;
    // Statements of the open transaction may leave state behind.
    bool unsettled() const { return effects_ != 0; }
    // The server has got only part of a message: what comes next there is taken for the rest of it.
    bool mid_message() const { return rest_bytes_ > 0 && forward_rest_; }
    // Some server connection may answer for it what the last value of a sequence was.
    bool owns_sequences() const { return owns_sequences_; }
    const std::string *application_name() const { return told_ ? told_->find("application_name") : nullptr; }
    int64_t activity_ms() const { return activity_ms_; }
    int64_t waiting_since_ms() const { return waiting_since_ms_; }
    bool waiting() const { return (pause_ & kPausedForLease) != 0; }
    const ParameterSetRef &settings() const { return settings_; }
    const ParameterSetRef &startup_settings() const { return startup_; }
    // What a server connection must have been born with to serve it; empty: any that fits otherwise will do.
    const ParameterSetRef &needed_birth() const;
    bool searches_temp_schema() const;
    bool is_replication() const { return (pins_ & kPinnedByReplication) != 0; }
    std::string client_address() const;
    // As decide_route() takes it, for a statement that would come now.
    RouteSession route_state();
    LexRules lex_rules() const { return lex_rules_; }

    // Starts listening to the client.
    void start();
    // Ends the session: an ErrorResponse with severity FATAL, then close.
    void end(std::string_view sqlstate, std::string_view message);
    void end_with(std::string_view messages);
    void close();
    // Cancel request: forwarded, or answered here when the session only waits.
    void cancel();
    // Every tick of the worker: limits on time.
    void check_limits(int64_t now_ms);
    // Shutdown: whether the session can go now without tearing a transaction.
    bool at_boundary() const;

    // -- From the pool.
    void on_lease(ServerConnection &server);
    // It waited for a node that is not the one any more: asks again, without losing its time.
    void look_again();
    // No server connection can be had: `report` is the server's or our own ErrorResponse body.
    void on_lease_failed(std::string_view report_body);

    // -- From the leased server connection.
    // True: pass ReadyForQuery on now. Otherwise it is sent when what is under way is finished.
    bool on_ready(char status);
    void on_command_complete(std::string_view tag);
    void on_error(const ServerReport &report);
    // The server needs a Sync of ours to go on. False: it is sent when the client's message is complete.
    bool may_send_sync();
    // The server answers nothing any more before the client's next Sync.
    void on_skipping();
    // The server takes CopyData.
    void on_copy_in();
    // True: pass the ParameterStatus on.
    bool on_parameter_status(std::string_view name, std::string_view value);
    void on_exchange_done(Purpose purpose, const Error *error, std::string_view report_body);
    void on_shape_known(const Note &note, uint64_t shape);
    // Null if the client has no statement under this name of ours.
    const std::string *client_name_of(std::string_view server_name);
    void on_unnamed_failed();
    void on_statement_decided(std::string_view name, uint32_t note); // its Parse or Close was answered
    void on_statement_failed(const Note &note);                      // a Parse that never happened
    void on_statement_kept(const Note &note);                        // a Close that never happened
    // All replies owed have been passed on and the lease need not go on.
    bool lease_ends() const { return lease_ends_; }
    void finish_lease();
    // The standby has refused the read, and nothing of it was passed on.
    void on_read_refused();
    void on_server_closed(ServerConnection &server, std::string_view why);
    void on_server_unblocked();
    void on_replies_drained();

  private:
    enum Pause : uint8_t {
        kPausedForLease = 1U << 0,
        kPausedForExchange = 1U << 1, // pgbalancer asks the server something first
        kPausedByServer = 1U << 2,    // it does not take more bytes
        kPausedByQueue = 1U << 3,     // too many replies owed
        kPausedByClient = 1U << 4,    // it does not take its replies
        kPausedForReady = 1U << 5,    // what comes next depends on how the current statement ends
        kPausedForOutcome = 1U << 6,  // or on what becomes of a statement in an earlier batch
    };

    void on_io(short what);
    void on_blocked() override;
    void wait_for(short what);
    void update_interest();
    void read_some();
    void take(std::string_view fresh);
    void process_buffered();
    size_t process(std::string_view data);
    void resume(Pause reason);
    void go_on();
    bool must_finish_first() const;
    void gone();

    // session_login.cpp
    size_t process_login(std::string_view data);
    void on_first_packet(std::string_view packet);
    void begin_authentication();
    bool on_password_message(std::string_view body);
    void authenticated();
    void login_with_server();
    bool mode_needs_no_server() const;
    void lex_rules_changed();
    void complete_login();
    void refuse_login(std::string_view sqlstate, std::string_view message, std::string_view detail,
                      std::string_view log_detail);
    bool take_limits();
    void give_limits_back();

    // session_messages.cpp: each returns false when the message must wait (nothing was consumed)
    size_t handle(MessageHeader header, std::string_view data);
    bool on_query(std::string_view message);
    bool on_parse(std::string_view message, std::string_view data);
    size_t on_bind(MessageHeader header, std::string_view data);
    bool on_describe(std::string_view message, std::string_view data);
    bool on_execute(std::string_view message);
    bool on_close(std::string_view message);
    bool on_sync(std::string_view message);
    bool on_flush(std::string_view message);
    size_t on_copy_data(MessageHeader header, std::string_view data);
    bool on_copy_end(std::string_view message);
    size_t on_large(MessageHeader header, std::string_view data);
    void refuse_header(MessageHeader header, FrontendCheck check);
    size_t refuse_in_failed_transaction(MessageHeader header, std::string_view data, bool &wait);
    bool must_give_way(char type) const;
    size_t start_streaming(MessageHeader header, std::string_view data, bool forward);
    void on_streamed();
    size_t on_function_call(MessageHeader header, std::string_view data);
    bool may_answer_here() const;
    bool on_local_command(std::string_view text);
    bool deallocation_under_way();
    bool awaits_answers();
    bool undecided_here(const PreparedStatement &statement) const;
    NamedStatement *statement_named(std::string_view name, bool &wait);
    bool prepared_here(NamedStatement &named);
    void parse_on_server(std::string_view name, const PreparedStatementRef &statement, Purpose purpose, uint32_t note);
    void close_on_server(std::string_view name, Purpose purpose, uint32_t note);
    void make_room_for_statement();
    void force_error(std::string_view sqlstate, std::string_view message, std::string_view detail = {},
                     std::string_view hint = {});
    PreparedStatementRef intern(std::string_view text, std::string_view types);
    void protocol_violation(std::string_view message);
    void barrier();

    // session_resets.cpp
    enum class Birth : uint8_t {
        right, // the server connection, or the one that will be leased, may run the statement
        wait,  // for the end of what is under way, or for more of the batch
        wrong, // it cannot be changed for another now
    };
    enum class Rest : uint8_t { its_own, others, unknown };
    void need_birth();
    bool resets_by_itself() const;
    void restore_startup(const std::vector<std::string> &names, char status);
    bool resets_startup(const Classification &what, std::string_view text) const;
    Birth birth_for(const StatementRef &statement, uint32_t effects, std::string_view text);
    Birth birth_in_batch(const StatementRef &statement, uint32_t effects, std::string_view text, std::string_view data,
                         size_t end);
    static Rest rest_of_batch(std::string_view data, size_t pos);
    void refuse_reset();

    // session_begin.cpp
    char local_status() const;
    void defer_begin(std::string_view text);
    bool on_virtual_query(const StatementRef &statement, std::string_view text);
    bool virtual_command(const StatementRef &statement, std::string_view text, std::string &out);
    const NamedStatement *deallocated_here(const Classification &what);
    bool on_local_deallocate(const StatementRef &statement);
    bool may_be_virtual_batch(std::string_view parse) const;
    size_t on_virtual_batch(std::string_view data, bool &wait);
    void open_deferred_transaction() {
        if (virtual_ == Virtual::deferred && !reading_) {
            send_deferred_begin();
        }
    }
    void send_deferred_begin();
    void drop_begin_portal();
    void fail_on_server();
    void fail_locally(std::string_view sqlstate, std::string_view message);

    // session_routing.cpp
    // Each says whether the session has a server connection for what comes next; `false` as in ensure_server().
    bool ensure_server_for_query(const StatementRef &statement, std::string_view text, std::string_view message);
    bool ensure_server_for_batch(std::string_view data);
    bool look_ahead(std::string_view data, RoutingNeed &need, size_t &bytes);
    bool merge_need_of(std::string_view name, const ParsedAhead &parsed, RoutingNeed &need);
    RoutingNeed need_of(const PreparedStatementRef &statement);
    void choose_node(const RoutingNeed &need, size_t bytes);
    bool lease_chosen(std::string_view data);
    void begin_read(std::string_view batch);
    bool end_read();
    void flush_read();
    bool read_under_way() const { return reading_ && batch_left_ == 0; }
    bool read_can_go_elsewhere(ServerConnection &server) const;
    void run_on_primary(ServerConnection &server);
    void leave_standby();
    void learn_refusal(std::string_view batch);
    void note_changes(const StatementRef &statement, std::string_view text);
    void begin_changes();
    void end_changes();
    void note_read();
    void note_completion(char status, bool quiet);
    void choose_single();
    void count_statement_sent(const StatementRef &statement, std::string_view text);
    void tell_route(std::string_view text);
    void note_tied();
    Tie tie() const;
    void note_isolation();
    ServerConnection *detach();

    // session_effects.cpp
    enum class Sequences : uint8_t {
        own,     // what the server connection would answer is this session's, or it knows nothing
        wait,    // it is being made to forget
        foreign, // it is another's, and cannot be made to forget now
    };
    Sequences own_sequences(uint32_t effects);
    uint32_t effects_of(const StatementRef &statement);
    void note_effects(const StatementRef &statement, uint32_t effects, std::string_view text);
    void note_unknown_statement();
    void materialise(const Classification &what);

    // session_transaction.cpp
    // False: the session waits for a server connection, or for an answer to pgbalancer itself.
    bool ensure_server();
    bool lease();
    void attach(ServerConnection &server);
    void bring_in_line();
    bool settle();
    uint16_t pin_forever(uint32_t effects) const;
    ParameterSetRef keeping_custom(ParameterSet::Entries entries) const;
    bool wants_probe(uint32_t effects) const;
    void start_probe();
    void apply_probe();
    void release_ready();
    void reply(std::string_view bytes);
    void report_changes();
    void set_pins(uint16_t pins);

    Worker &worker_;
    Pool *pool_ = nullptr;
    ServerConnection *server_ = nullptr;
    std::unique_ptr<LoginState> login_;
    Buffer in_;
    uint64_t rest_bytes_ = 0; // of the message passing through
    ParameterSetRef startup_;
    ParameterSetRef settings_;
    ParameterSetRef told_;
    NamedStatements named_;
    NamedStatement unnamed_;
    PreparedStatementRef begin_;     // the deferred BEGIN
    PreparedStatementRef ahead_;     // parsed when the batch was looked at
    StatementRef waiting_statement_; // classified before the session had to wait
    std::unique_ptr<PendingSetting> setting_;
    std::unique_ptr<std::string> deallocating_; // the name in the DEALLOCATE under way
    uint64_t cancel_key_ = 0;
    int64_t activity_ms_ = 0;
    int64_t waiting_since_ms_ = 0;
    uint64_t identity_;
    RouteSession route_;
    Route routed_;            // of the statement or batch under way
    uint32_t batch_left_ = 0; // of a read that goes to a standby: bytes not handled yet
    uint32_t index_;
    uint32_t effects_ = 0; // of the statements since the last transaction boundary
    uint32_t traces_ = 0;  // of those since the server connection was leased
    int32_t user_limit_slot_ = -1;
    int32_t database_limit_slot_ = -1;
    uint16_t pins_ = 0;
    Phase phase_ = Phase::startup;
    Virtual virtual_ = Virtual::none;
    bool failed_read_ = false; // Virtual::failed: by a read on a standby
    uint8_t pause_ = 0;
    char held_ready_ = 0; // status of a ReadyForQuery kept back, 0 = none
    bool forward_rest_ = false;
    bool begin_portal_ = false; // the unnamed portal may still be that of our BEGIN
    bool discarding_ = false;   // after an error of ours in the extended protocol: up to the next Sync
    bool lease_ends_ = false;
    // As soon as the message passing through is complete:
    bool barrier_overdue_ = false;
    bool sync_overdue_ = false;  // a Sync of ours
    bool ready_overdue_ = false; // a ReadyForQuery of the server's (held_ready_)
    bool cancel_later_ = false;  // a cancel request came while pgbalancer itself talked to the server
    bool unknown_ = false;       // a statement was sent that could not be read
    bool batch_failed_ = false;  // the current statement or batch got an error
    bool barrier_ = false;       // nothing is sent behind the current statement or batch
    bool probed_again_ = false;  // the probe was cancelled once
    bool restoring_ = false;     // the exchange under way restores startup values
    bool needs_birth_ = false;   // only server connections born with the startup settings will do
    bool go_on_after_ready_ = false;
    bool hung_up_ = false;    // the client sends no more
    bool real_names_ = false; // statements of SQL and of the protocol meet: they are prepared under the client's names
    bool loaded_ = false;     // LOAD succeeded since the last transaction boundary
    bool shape_changed_ = false; // of the statement the client is about to bind
    bool counted_ = false;       // in the worker's and the limits' counts
    LexRules lex_rules_;         // by the settings the client was told
    bool asks_again_ = false;    // it has waited before, for another node
    bool owns_sequences_ = false;
    bool processing_ = false;
    bool resumed_ = false;      // while processing_
    bool reading_ = false;      // the lease is for one read, or batch of reads, on a standby
    bool sync_is_ours_ = false; // which ends it
    bool run_again_ = false;    // the standby has refused it: as soon as the lease has ended
    bool primary_only_ = false; // what comes next is run again
    bool route_counted_ = true; // routed_
    bool changes_ = false;      // something not proven a read was sent since the last transaction boundary
    bool in_block_ = false;     // and an explicit transaction is open on the server
};

} // namespace pgbalancer
