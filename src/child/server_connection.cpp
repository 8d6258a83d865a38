#include "child/server_connection.h"

#include "child/pool.h"
#include "child/session.h"
#include "child/worker_process.h"
#include "common/clock.h"
#include "common/log.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <utility>

namespace pgbalancer {

namespace {

// What stands for something else than a setting in a startup packet. A client can give a setting such a name by way of
// `options`; unlike these, names of settings are compared without case.
bool is_startup_field(std::string_view name) {
    return name == "user" || name == "database" || name == "options" || name == "replication" ||
           name.starts_with("_pq_.");
}

} // namespace

ServerConnection::ServerConnection(Worker &worker, Pool &pool, int slot, int node)
    : worker_(worker), out_(worker.to_servers()), shown_(worker.shared().connection(worker.index(), slot)), pool_(pool),
      slot_(slot), node_(node), opened_ms_(worker.now_ms()), created_us_(wall_now_us()),
      settings_(worker.no_settings()), born_with_(worker.no_settings()),
      statements_(static_cast<size_t>(worker.config().prepared_statement_cache_size)) {}

ServerConnection::~ServerConnection() { worker_.to_servers().forget(*this); }

void ServerConnection::open(const NodeSnapshot &node, const ParameterSetRef &birth) {
    node_host_ = node.hostname.view();
    node_port_ = node.port;
    MessageWriter w(startup_packet_);
    // Neutral parameters as a rule: whoever leases the connection sets his own.
    w.begin_untyped().u32(3 << 16);
    w.string("user").string(pool_.user()).string("database").string(pool_.database());
    for (const auto &entry : birth->entries()) {
        ParameterSet::Entry given = setting_in_statement(entry.value);
        if (is_startup_field(given.name)) {
            std::transform(given.name.begin(), given.name.end(), given.name.begin(), ::toupper);
        }
        w.string(given.name).string(given.value);
    }
    if (!birth->empty()) {
        born_with_ = birth;
        set_settings(birth);
        pool_.not_plain();
    }
    w.u8(0).end();
    publish_info({});
    publish_lease();
    worker_.resolver().resolve(node_host_, node_port_, *this, resolving_);
}

void ServerConnection::open_replication(const NodeSnapshot &node, std::string startup_packet) {
    node_host_ = node.hostname.view();
    node_port_ = node.port;
    startup_packet_ = std::move(startup_packet);
    pass_through_ = true;
    publish_info(pin_reason_text(kPinnedByReplication));
    publish_lease();
    worker_.resolver().resolve(node_host_, node_port_, *this, resolving_);
}

void ServerConnection::on_resolved(const ResolvedAddress *address, const std::string &error) {
    if (state_ != State::resolving) {
        return;
    }
    if (address == nullptr) {
        fail_login(error, "08001");
        return;
    }
    start_connect(*address);
}

void ServerConnection::start_connect(const ResolvedAddress &address) {
    state_ = State::connecting;
    fd_.reset(socket(address.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (!fd_) {
        fail_login(std::string("could not create socket: ") + strerror(errno), "53000");
        return;
    }
    if (address.family() != AF_UNIX) {
        const int on = 1;
        setsockopt(fd_.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        setsockopt(fd_.get(), SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    }
    if (connect(fd_.get(), reinterpret_cast<const sockaddr *>(&address.storage), address.size) == 0) {
        on_connected();
        return;
    }
    // A Unix-domain socket whose queue is full says EAGAIN: tried again by the pool.
    if (errno != EINPROGRESS) {
        fail_login(std::string("could not connect to server: ") + strerror(errno), "08001");
        return;
    }
    wait_for(EV_WRITE);
}

void ServerConnection::on_io(short what) {
    if (state_ == State::closed) {
        return;
    }
    if (state_ == State::connecting) {
        int error = 0;
        socklen_t size = sizeof error;
        getsockopt(fd_.get(), SOL_SOCKET, SO_ERROR, &error, &size);
        if (error != 0) {
            fail_login(std::string("could not connect to server: ") + strerror(error), "08001");
            return;
        }
        on_connected();
        return;
    }
    if ((what & EV_WRITE) != 0) {
        if (!write_pending()) {
            on_broken();
            return;
        }
        if (!blocked()) {
            wait_for(EV_READ);
            if (session_ != nullptr) {
                session_->on_server_unblocked();
            }
        }
    }
    if ((what & EV_READ) != 0 && state_ != State::closed) {
        read_some();
    }
    worker_.to_clients().flush();
    worker_.to_servers().flush();
}

void ServerConnection::wait_for(short what) {
    if (io_.interest() != what) {
        if (what == 0) {
            io_.disarm();
        } else {
            io_.arm<&ServerConnection::on_io>(worker_.loop(), fd_.get(), what, this);
        }
    }
}

void ServerConnection::on_connected() {
    state_ = State::authenticating;
    wait_for(EV_READ);
    send_startup();
}

void ServerConnection::on_blocked() {
    if (state_ == State::closed) {
        return;
    }
    // A broken connection is left to the read side: what the server said last may still be there.
    wait_for(broken() ? EV_READ : EV_READ | EV_WRITE);
}

void ServerConnection::read_some() {
    if (session_ != nullptr && session_->blocked()) {
        // The client does not take its replies: leave them with the kernel, and so with the server.
        wait_for(blocked() ? EV_WRITE : short{0});
        return;
    }
    char *scratch = worker_.server_scratch();
    const ssize_t n = recv(fd_.get(), scratch, Worker::kScratchBytes, 0);
    if (n < 0) {
        if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR) {
            return;
        }
        on_broken();
        return;
    }
    if (n == 0) {
        on_broken();
        return;
    }
    read_buffered({scratch, static_cast<size_t>(n)});
}

void ServerConnection::read_buffered(std::string_view fresh) {
    if (in_.empty()) {
        const size_t taken = process(fresh);
        if (state_ != State::closed && taken < fresh.size()) {
            in_.append(fresh.substr(taken)); // process() has flushed what it passed on from there
        }
        return;
    }
    in_.append(fresh);
    const size_t taken = process(in_.view());
    if (state_ != State::closed) {
        in_.consume(taken);
    }
}

void ServerConnection::resume_reading() {
    if (state_ != State::closed && state_ != State::resolving && state_ != State::connecting) {
        wait_for(blocked() ? EV_READ | EV_WRITE : EV_READ);
    }
}

void ServerConnection::on_broken() {
    if (state_ == State::connecting || state_ == State::authenticating || state_ == State::resolving) {
        fail_login("server closed the connection unexpectedly", "08006");
        return;
    }
    if (state_ != State::idle) {
        log_at(LogLevel::warning, "node %d: server connection (process %u) lost while in use", node_, server_pid_);
        worker_.report_suspect(node_);
    }
    if (fatal_seen_) {
        close(); // the client was told by the server itself
        return;
    }
    std::string why;
    append_error(why, "FATAL", "08006", "server closed the connection unexpectedly");
    close(why);
}

void ServerConnection::protocol_violation(const char *what) {
    log_at(LogLevel::error, "node %d: protocol violation by server process %u: %s", node_, server_pid_, what);
    if (state_ == State::authenticating) {
        fail_login(std::string("protocol violation by server: ") + what, "08P01");
        return;
    }
    std::string why;
    append_error(why, "FATAL", "08P01", std::string("protocol violation by server: ") + what);
    close(why);
}

void ServerConnection::close(std::string_view why) {
    if (state_ == State::closed) {
        return;
    }
    worker_.to_clients().flush();
    worker_.to_servers().flush();
    const bool polite = state_ == State::idle && !broken();
    state_ = State::closed;
    resolving_.cancel();
    if (polite) {
        static constexpr char kTerminate[] = {'X', 0, 0, 0, 4};
        (void)!::send(fd_.get(), kTerminate, sizeof kTerminate, MSG_NOSIGNAL | MSG_DONTWAIT);
    }
    io_.disarm();
    fd_.reset();
    worker_.to_servers().forget(*this);
    worker_.cancels().forget(*this);
    if (collecting_) {
        collecting_ = false;
        pool_.known().facts.abandon();
        pool_.known().facts_loading = false;
    }
    pending_.clear();
    in_.clear();
    expected_.clear();
    notes_.clear();
    shown_.clear();
    Session *session = std::exchange(session_, nullptr);
    worker_.pools().on_closed(*this);
    if (session != nullptr) {
        session->on_server_closed(*this, mid_reply() ? std::string_view() : why);
    }
}

void ServerConnection::close_unopened() {
    session_ = nullptr;
    close();
}

void ServerConnection::time_out_login() {
    if (state_ < State::idle) {
        fail_login("connect_timeout: the server did not answer in time", "08001");
    }
}

// -- The lease.

void ServerConnection::lease_to(Session &session) {
    session_ = &session;
    state_ = State::leased;
    uses_++;
    publish_lease();
}

void ServerConnection::end_lease() {
    session_ = nullptr;
    if (guard_ != nullptr) {
        guard_->end();
    }
    state_ = State::idle;
    idle_since_ms_ = worker_.now_ms();
    if (!notes_.empty()) {
        notes_.clear(); // each may be large; the next pipeline makes its own
    }
    resume_reading();
    publish_lease();
    worker_.pools().give_back(*this);
}

void ServerConnection::abandon() {
    Session *session = std::exchange(session_, nullptr);
    if (state_ == State::closed) {
        return;
    }
    const bool settled = quiet() && rest_bytes_ == 0 && in_.empty() && pending_.empty();
    if (pass_through_ || !settled || broken() || session == nullptr || session->mid_message()) {
        // Something is under way: closing is what the server would see if the client had been connected to it.
        close();
        return;
    }
    state_ = State::internal;
    publish_lease();
    resume_reading();
    if (session->leaves_unknown_state()) {
        close(); // nothing can be sent that takes it back
        return;
    }
    std::string sql = transaction_status_ == 'I' ? "" : "ROLLBACK";
    if (session->pins() != 0 || session->unsettled() || !(settings_ == session->settings())) {
        if (!sql.empty()) {
            send_internal_query(sql, Purpose::cleanup);
        }
        sql = "DISCARD ALL";
        discarding_ = true;
    }
    if (sql.empty()) {
        end_lease();
        return;
    }
    send_internal_query(sql, Purpose::cleanup);
    worker_.to_servers().flush();
}

void ServerConnection::cancel_finished() {
    if (cancels_in_flight_ > 0 && --cancels_in_flight_ == 0 && state_ == State::idle) {
        worker_.pools().give_back(*this);
    }
}

// -- Sending.

uint32_t ServerConnection::add_note(Note note) {
    if (++last_note_ == kUnnamedNote) {
        last_note_ = 1;
    }
    notes_[last_note_] = std::move(note);
    return last_note_;
}

void ServerConnection::send_internal_query(std::string_view sql, Purpose purpose) {
    std::string message;
    append_query(message, sql);
    send_copy(message);
    expect(Reply::query, purpose);
    unnamed_ = {}; // a Query destroys it
    internal_failed_ = false;
    if (purpose == Purpose::probe) {
        probe_ = {};
    } else if (purpose == Purpose::defaults) {
        state_ = State::internal;
        publish_lease();
    } else if (purpose == Purpose::facts) {
        state_ = State::internal;
        collecting_ = true;
        pool_.known().facts.begin();
        publish_lease();
    }
}

bool ServerConnection::unnamed_undecided() const {
    if (unnamed_.batch == batch_) {
        return false;
    }
    for (size_t i = 0; i < expected_.size(); i++) {
        if (expected_.at(i).note == kUnnamedNote) {
            return true;
        }
    }
    return false;
}

void ServerConnection::forget_statements() { statements_.clear(); }

void ServerConnection::copy_in_ended() {
    // Until here the server ignores Sync; its place in the order must be known if CopyInResponse is still to come.
    copying_in_ = false;
    expected_.push({Reply::copy_end, Purpose::client, 0});
    if (expected_.size() == 1) {
        expected_.pop();
    }
}

bool ServerConnection::fits(const Session &session) const {
    return (born_with_ == session.needed_birth() || born_with_ == session.startup_settings()) &&
           (custom_settings_.empty() || has_all_custom_settings(session)) &&
           !(has_temp_schema_ && session.searches_temp_schema());
}

void ServerConnection::note_temp_schema() {
    has_temp_schema_ = true;
    pool_.not_plain();
}

bool ServerConnection::has_all_custom_settings(const Session &session) const {
    return std::all_of(custom_settings_.begin(), custom_settings_.end(),
                       [&session](const std::string &name) { return session.settings()->find(name) != nullptr; });
}

void ServerConnection::note_custom_setting(const std::string &name) {
    if (name.find('.') != std::string::npos &&
        std::find(custom_settings_.begin(), custom_settings_.end(), name) == custom_settings_.end()) {
        custom_settings_.push_back(name);
        pool_.not_plain();
    }
}

// -- Shown to operators.

void ServerConnection::publish_info(std::string_view pinned_reason) {
    ConnectionInfo info;
    info.node = node_;
    info.server_pid = static_cast<int32_t>(server_pid_);
    info.create_time_us = created_us_;
    info.database.set(pool_.database());
    info.user.set(pool_.user());
    info.pinned_reason.set(pinned_reason);
    shown_lessee_ = session_ != nullptr ? session_->identity() : 0;
    if (session_ != nullptr) {
        info.client_address.set(session_->client_address());
        if (const std::string *name = session_->application_name()) {
            info.application_name.set(*name);
        }
    }
    shown_.publish(info);
}

void ServerConnection::publish_lessee() {
    if (session_ != nullptr && session_->phase() == Session::Phase::ready && shown_lessee_ != session_->identity()) {
        publish_info(pin_reason_text(session_->pins()));
    }
}

void ServerConnection::publish_lease() {
    ConnectionLease lease;
    switch (state_) {
    case State::resolving:
    case State::connecting:
    case State::authenticating: lease.state = ConnectionState::connecting; break;
    case State::idle: lease.state = ConnectionState::idle; break;
    case State::internal: lease.state = ConnectionState::active; break;
    case State::leased:
        lease.state = session_ != nullptr && session_->pins() != 0 ? ConnectionState::pinned : ConnectionState::active;
        break;
    case State::closed: lease.state = ConnectionState::closing; break;
    }
    lease.session = session_ != nullptr ? session_->index() : 0;
    lease.lease_time_us = worker_.now_us();
    lease.uses = uses_;
    shown_.publish(lease);
}

} // namespace pgbalancer
