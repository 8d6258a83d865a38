#include "child/session.h"

#include "child/login_state.h"
#include "child/pool.h"
#include "child/server_connection.h"
#include "child/worker_process.h"
#include "common/log.h"

#include <cerrno>
#include <poll.h>
#include <sys/socket.h>
#include <utility>

namespace pgbalancer {

namespace {

// What a client may have sent before it has logged in: one message of the login and one recv().
constexpr size_t kMaxLoginBytes = 66000;

} // namespace

Session::Session(Worker &worker, UniqueFd fd, uint32_t index, std::unique_ptr<LoginState> login)
    : worker_(worker), login_(std::move(login)), startup_(worker.no_settings()), settings_(worker.no_settings()),
      activity_ms_(worker.now_ms()), identity_(worker.next_session_identity()), index_(index) {
    fd_ = std::move(fd);
}

Session::~Session() { worker_.to_clients().forget(*this); }

void Session::start() { wait_for(EV_READ); }

void Session::wait_for(short what) {
    if (io_.interest() != what) {
        if (what == 0) {
            io_.disarm();
        } else {
            io_.arm<&Session::on_io>(worker_.loop(), fd_.get(), what, this);
        }
    }
}

// While paused nothing is read. (A hang-up is noticed by check_limits(): epoll cannot report it without reporting also,
// again and again, that there are bytes which nobody wants to read yet.)
void Session::update_interest() {
    if (phase_ == Phase::closed) {
        return;
    }
    const short read = phase_ == Phase::closing || hung_up_ || pause_ != 0 ? short{0} : short{EV_READ};
    wait_for(static_cast<short>(read | (blocked() ? EV_WRITE : 0)));
}

void Session::on_blocked() {
    if (phase_ == Phase::closed) {
        return;
    }
    if (broken()) {
        wait_for(EV_READ); // reading will say so, outside of whatever is going on now
        return;
    }
    update_interest();
}

void Session::on_io(short what) {
    if ((what & EV_WRITE) != 0 && blocked()) {
        if (!write_pending()) {
            close();
            return;
        }
        activity_ms_ = worker_.now_ms();
        if (!blocked()) {
            if (phase_ == Phase::closing) {
                close();
                return;
            }
            update_interest();
            if (server_ != nullptr) {
                server_->resume_reading();
            }
            if ((pause_ & kPausedByClient) != 0) {
                resume(kPausedByClient);
            }
        }
    }
    if (phase_ != Phase::closed && (what & EV_READ) != 0) {
        read_some();
    }
    worker_.to_servers().flush();
    worker_.to_clients().flush();
}

void Session::read_some() {
    if (broken()) {
        gone();
        return;
    }
    if (pause_ != 0 || phase_ == Phase::closing) {
        update_interest();
        return;
    }
    char *scratch = worker_.client_scratch();
    const ssize_t n = recv(fd_.get(), scratch, Worker::kScratchBytes, 0);
    if (n <= 0) {
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)) {
            return;
        }
        if (n == 0 && must_finish_first()) {
            // Perhaps only its sending side is closed: what it asked is answered, as PostgreSQL would.
            hung_up_ = true;
            wait_for(blocked() ? EV_WRITE : short{0});
            return;
        }
        gone();
        return;
    }
    activity_ms_ = worker_.now_ms();
    take({scratch, static_cast<size_t>(n)});
}

void Session::take(std::string_view fresh) {
    if (!in_.empty()) {
        in_.append(fresh);
        process_buffered();
        return;
    }
    processing_ = true;
    const size_t taken = process(fresh);
    processing_ = false;
    worker_.to_servers().flush();
    if (phase_ != Phase::closed && phase_ != Phase::closing && taken < fresh.size()) {
        in_.append(fresh.substr(taken));
    }
    // What made it pause may have passed meanwhile, before there was anything buffered to go on with.
    if (pause_ == 0 && !in_.empty() && (taken > 0 || std::exchange(resumed_, false))) {
        process_buffered();
    }
}

void Session::process_buffered() {
    if (processing_) {
        return;
    }
    processing_ = true;
    while (phase_ != Phase::closed && phase_ != Phase::closing && pause_ == 0 && !in_.empty()) {
        const size_t taken = process(in_.view());
        worker_.to_servers().flush();
        worker_.to_clients().flush();
        if (phase_ == Phase::closed || phase_ == Phase::closing) {
            break;
        }
        in_.consume(taken);
        if (taken == 0 && !std::exchange(resumed_, false)) {
            break;
        }
    }
    processing_ = false;
}

void Session::resume(Pause reason) {
    if ((pause_ & reason) == 0) {
        return;
    }
    pause_ &= static_cast<uint8_t>(~reason);
    if (pause_ != 0 || phase_ == Phase::closed || phase_ == Phase::closing) {
        return;
    }
    resumed_ = processing_; // whoever is processing now goes on by itself
    process_buffered();
    if (phase_ != Phase::closed) {
        update_interest();
    }
}

// Statements under way will come to their end without another byte from the client. One whose message is still to
// come in part will not.
bool Session::must_finish_first() const { return server_ != nullptr && rest_bytes_ == 0 && server_->ends_by_itself(); }

void Session::go_on() {
    if (hung_up_ && !(primary_only_ && server_ == nullptr)) {
        if (!must_finish_first()) {
            gone();
        }
        return;
    }
    if (phase_ == Phase::ready && pause_ == 0) {
        process_buffered();
        update_interest();
    }
}

size_t Session::process(std::string_view data) {
    if (is_replication() && phase_ == Phase::ready && server_ != nullptr) {
        server_->send(data);
        worker_.to_servers().flush();
        if (server_->blocked()) {
            pause_ |= kPausedByServer;
        }
        return data.size();
    }
    if (phase_ != Phase::ready) {
        const size_t taken = process_login(data);
        if (phase_ != Phase::ready) {
            if (data.size() - taken > kMaxLoginBytes) {
                end("08P01", "too much data before authentication");
            }
            return taken;
        }
        return taken; // what follows is processed from the buffer
    }
    size_t pos = 0;
    while (pos < data.size() && pause_ == 0 && phase_ == Phase::ready) {
        if (rest_bytes_ > 0) {
            const size_t n = std::min<uint64_t>(rest_bytes_, data.size() - pos);
            if (forward_rest_ && server_ != nullptr) {
                server_->send(data.substr(pos, n));
                if (server_->blocked()) {
                    pause_ |= kPausedByServer;
                }
            }
            pos += n;
            rest_bytes_ -= n;
            on_streamed();
            continue;
        }
        if (data.size() - pos < kHeaderBytes) {
            break;
        }
        const size_t taken = handle(read_header(data.data() + pos), data.substr(pos));
        if (taken == 0) {
            break;
        }
        pos += taken;
        if (batch_left_ > 0) {
            batch_left_ -= static_cast<uint32_t>(std::min<size_t>(taken, batch_left_));
        }
        if (blocked()) {
            pause_ |= kPausedByClient; // answers given here must not pile up either
        }
    }
    // A pause must leave what it is about with the kernel's and our buffers, not with the gatherer.
    worker_.to_servers().flush();
    if (server_ != nullptr && server_->blocked()) {
        pause_ |= kPausedByServer;
    }
    return pos;
}

// The client has hung up, or the connection broke.
void Session::gone() {
    if (worker_.config().log_disconnections && counted_) {
        log_at(LogLevel::info, "session %u: client %s disconnected", index_, client_address().c_str());
    }
    if (blocked() && !broken()) {
        end_with({}); // it may still be reading what it was sent
        return;
    }
    close();
}

void Session::close() {
    if (phase_ == Phase::closed) {
        return;
    }
    worker_.to_servers().flush();
    worker_.to_clients().forget(*this);
    phase_ = Phase::closed;
    if (waiting()) {
        worker_.pools().withdraw(*this);
    }
    if (ServerConnection *server = detach()) {
        server->abandon();
    }
    give_limits_back();
    if (pool_ != nullptr) {
        pool_->session_removed();
    }
    worker_.shared().set_cancel_key(worker_.index(), index_, 0);
    io_.disarm();
    fd_.reset();
    in_.clear();
    pending_.clear();
    worker_.session_closed(*this);
}

void Session::end(std::string_view sqlstate, std::string_view message) {
    std::string out;
    append_error(out, "FATAL", sqlstate, message);
    end_with(out);
}

void Session::end_with(std::string_view messages) {
    if (phase_ == Phase::closed || phase_ == Phase::closing) {
        return;
    }
    if (server_ == nullptr || !server_->mid_reply()) {
        worker_.to_clients().add_copy(*this, messages);
    }
    worker_.to_clients().flush();
    phase_ = Phase::closing;
    if (waiting()) {
        worker_.pools().withdraw(*this);
        pause_ &= static_cast<uint8_t>(~kPausedForLease);
    }
    if (ServerConnection *server = detach()) {
        server->abandon();
    }
    if (!blocked() || broken()) {
        // Let the client read the message before a reset can overtake it: bytes it sent may lie unread.
        shutdown(fd_.get(), SHUT_WR);
        char rest[4096];
        for (int i = 0; i < 16 && recv(fd_.get(), rest, sizeof rest, MSG_DONTWAIT) > 0; i++) {
        }
        close();
        return;
    }
    activity_ms_ = worker_.now_ms();
    in_.clear();
    update_interest();
}

void Session::reply(std::string_view bytes) { worker_.to_clients().add_copy(*this, bytes); }

void Session::protocol_violation(std::string_view message) { end("08P01", message); }

bool Session::at_boundary() const {
    return phase_ != Phase::ready ||
           (server_ == nullptr && virtual_ == Virtual::none && in_.empty() && pause_ == 0 && !blocked()) ||
           (server_ != nullptr && pins_ != 0 && server_->quiet() && server_->transaction_status() == 'I' &&
            in_.empty() && pause_ == 0 && !is_replication());
}

void Session::check_limits(int64_t now_ms) {
    const Config &config = worker_.config();
    const auto over = [now_ms](int64_t since, std::chrono::milliseconds limit) {
        return limit.count() > 0 && now_ms - since >= limit.count();
    };
    switch (phase_) {
    case Phase::startup:
    case Phase::authenticating:
        if (over(activity_ms_, config.authentication_timeout)) {
            log_at(LogLevel::info, "session %u: client %s did not authenticate in time", index_,
                   client_address().c_str());
            close(); // as PostgreSQL: no message
        }
        return;
    case Phase::closing:
        if (now_ms - activity_ms_ >= 10000) {
            close(); // does not take its last message
        }
        return;
    case Phase::closed: return;
    case Phase::login:
    case Phase::ready: break;
    }
    if (waiting()) {
        pollfd state{.fd = fd_.get(), .events = POLLRDHUP, .revents = 0};
        if (server_ == nullptr && poll(&state, 1, 0) > 0) {
            close(); // hung up: its place goes to the next
            return;
        }
        if (over(waiting_since_ms_, config.query_wait_timeout)) {
            worker_.pools().withdraw(*this);
            pause_ &= static_cast<uint8_t>(~kPausedForLease);
            fail_locally("53300", "query_wait_timeout: no server connection became free in time");
        }
        return;
    }
    if (phase_ == Phase::login && server_ != nullptr && over(waiting_since_ms_, config.query_wait_timeout)) {
        end("08006", "the server does not answer"); // to the settings the client asked for
        return;
    }
    if (phase_ != Phase::ready || is_replication()) {
        return;
    }
    const bool idle = pause_ == 0 && in_.empty() && (server_ == nullptr || server_->expected().empty());
    if (!idle) {
        return;
    }
    const bool in_transaction = virtual_ != Virtual::none ||
                                (server_ != nullptr && (server_->transaction_status() != 'I' || server_->open_batch()));
    if (in_transaction) {
        if (over(activity_ms_, config.idle_transaction_timeout)) {
            end("25P03", "terminating connection due to idle-in-transaction timeout");
        }
    } else if (over(activity_ms_, config.client_idle_limit)) {
        end("57P05", "terminating connection due to idle-session timeout");
    }
}

void Session::cancel() {
    bump(worker_.counters().cancels);
    if (waiting() && phase_ == Phase::ready) {
        worker_.pools().withdraw(*this);
        pause_ &= static_cast<uint8_t>(~kPausedForLease);
        fail_locally("57014", "canceling statement due to user request");
        return;
    }
    if (held_ready_ != 0) {
        return; // the statement is done: PostgreSQL would ignore it
    }
    if ((pause_ & kPausedForExchange) != 0) {
        cancel_later_ = true; // it is meant for the client's statement, which has not been sent yet
        return;
    }
    if (server_ != nullptr && !server_->quiet()) {
        worker_.cancels().send(*server_);
    }
}

// -- From the leased server connection.

void Session::on_server_closed(ServerConnection &server, std::string_view why) {
    detach();
    if (phase_ == Phase::ready && read_can_go_elsewhere(server)) {
        run_on_primary(server);
        go_on();
        return;
    }
    if (why.empty()) {
        if (phase_ == Phase::ready || phase_ == Phase::login) {
            end_with({}); // the server has told the client itself
        }
        return;
    }
    end_with(why);
}

void Session::on_server_unblocked() { resume(kPausedByServer); }

void Session::on_replies_drained() {
    if ((pause_ & kPausedByQueue) != 0 && server_ != nullptr && !server_->queue_full()) {
        resume(kPausedByQueue);
    }
    resume(kPausedForOutcome);
    if (std::exchange(go_on_after_ready_, false) || hung_up_) {
        go_on();
    }
}

} // namespace pgbalancer
