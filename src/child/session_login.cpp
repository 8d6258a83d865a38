// session_login.cpp: Session from the first packet to the first ReadyForQuery.
#include "child/auth_hba.h"
#include "child/auth_password.h"
#include "child/login_state.h"
#include "child/pool.h"
#include "child/server_connection.h"
#include "child/session.h"
#include "child/worker_process.h"
#include "common/log.h"
#include "common/random.h"

#include <algorithm>
#include <sys/socket.h>
#include <utility>

namespace pgbalancer {

namespace {

constexpr int kMaxEncryptionRequests = 2; // one for TLS, one for GSSAPI, as PostgreSQL takes them
constexpr uint32_t kMaxPasswordLength = kMaxPasswordMessageBytes + 4;

void append_authentication(std::string &out, uint32_t code, std::string_view data = {}) {
    MessageWriter w(out);
    w.begin('R').u32(code).bytes(data).end();
}

ParameterSet::Entries settings_of(const StartupMessage &startup) {
    ParameterSet::Entries entries;
    for (const auto &[name, value] : startup.settings) {
        std::string lower(name);
        for (char &c : lower) {
            if (c >= 'A' && c <= 'Z') {
                c = static_cast<char>(c - 'A' + 'a');
            }
        }
        entries.push_back({std::move(lower), setting_statement(name, value)});
    }
    return entries;
}

} // namespace

std::string Session::client_address() const {
    sockaddr_storage storage{};
    socklen_t size = sizeof storage;
    if (getpeername(fd_.get(), reinterpret_cast<sockaddr *>(&storage), &size) != 0) {
        return {};
    }
    const auto address = PeerAddress::from_sockaddr(reinterpret_cast<const sockaddr *>(&storage), size);
    return address ? address->text() : std::string();
}

size_t Session::process_login(std::string_view data) {
    if (phase_ == Phase::startup) {
        if (data.size() < 4) {
            return 0;
        }
        const auto length = startup_length(data);
        if (!length) {
            end(length.error().sqlstate, length.error().message);
            return 0;
        }
        if (data.size() < *length) {
            return 0;
        }
        // What came together with an encryption request was sent unencrypted by somebody else (CVE-2021-23214).
        const bool more = data.size() > *length;
        const int requests = login_->encryption_requests;
        on_first_packet(data.substr(0, *length));
        if (phase_ == Phase::startup && login_->encryption_requests != requests && more) {
            end("08P01", "received unencrypted data after an encryption request");
        }
        return *length;
    }
    if (phase_ == Phase::authenticating) {
        if (data.size() < kHeaderBytes) {
            return 0;
        }
        const MessageHeader header = read_header(data.data());
        if (header.type != 'p') {
            end("08P01", std::string("expected password response, got message type ") +
                             std::to_string(static_cast<unsigned char>(header.type)));
            return 0;
        }
        if (header.length < 4 || header.length > kMaxPasswordLength) {
            end("08P01", "invalid password response length");
            return 0;
        }
        if (data.size() < header.total()) {
            return 0;
        }
        on_password_message(data.substr(kHeaderBytes, header.body()));
        return header.total();
    }
    return 0; // login: what the client has sent already waits
}

void Session::on_first_packet(std::string_view packet) {
    auto first = read_first_packet(packet);
    if (!first) {
        end(first.error().sqlstate, first.error().message);
        return;
    }
    if (std::holds_alternative<EncryptionRequest>(*first)) {
        if (++login_->encryption_requests > kMaxEncryptionRequests) {
            end("08P01", "too many encryption requests");
            return;
        }
        reply("N");
        return;
    }
    if (const auto *request = std::get_if<CancelRequest>(&*first)) {
        worker_.route_cancel(request->pid, request->secret);
        close();
        return;
    }
    login_->startup = std::move(std::get<StartupMessage>(*first));
    const StartupMessage &startup = login_->startup;
    if (worker_.draining()) {
        end("57P03", "the database system is shutting down");
        return;
    }
    if (!take_limits()) {
        return;
    }
    if (startup.minor != 0 || !startup.unknown_protocol_options.empty()) {
        std::string out;
        MessageWriter w(out);
        w.begin('v').u32(3 << 16).u32(static_cast<uint32_t>(startup.unknown_protocol_options.size()));
        for (const auto &option : startup.unknown_protocol_options) {
            w.string(option);
        }
        w.end();
        reply(out);
    }
    begin_authentication();
}

// The total counts from the startup packet on, so that cancel requests pass even when it is reached.
bool Session::take_limits() {
    const Config &config = worker_.config();
    bump(worker_.counters().clients);
    counted_ = true;
    if (worker_.shared().clients_total() > static_cast<uint64_t>(config.max_client_conn)) {
        end("53300", "sorry, too many clients already");
        return false;
    }
    return true;
}

void Session::give_limits_back() {
    if (counted_) {
        drop(worker_.counters().clients);
        counted_ = false;
    }
    for (int32_t *slot : {&user_limit_slot_, &database_limit_slot_}) {
        if (*slot >= 0) {
            worker_.shared().limit_add(worker_.index(), *slot, -1);
            *slot = -1;
        }
    }
}

void Session::begin_authentication() {
    const Config &config = worker_.config();
    const StartupMessage &startup = login_->startup;
    ClientAuthMethod method = config.client_auth_method;
    if (config.enable_pool_hba) {
        const HbaRequest request{.address = login_->address,
                                 .database = startup.database,
                                 .user = startup.user,
                                 .replication = !startup.replication                      ? Replication::none
                                                : startup.replication_value == "database" ? Replication::logical
                                                                                          : Replication::physical};
        const HbaRule *rule = worker_.hba().find(request);
        if (rule == nullptr || rule->reject) {
            const AuthError refusal = hba_refusal(request, rule);
            refuse_login(refusal.sqlstate, refusal.message, refusal.detail, refusal.log_detail);
            return;
        }
        method = rule->method;
    } else if (method == ClientAuthMethod::trust && !trust_allowed(login_->address, config.allow_trust_remote)) {
        refuse_login("28000", "trust authentication is allowed from this host only", {}, "allow_trust_remote is off");
        return;
    }
    const Secret *secret = worker_.passwords().find(startup.user);
    login_->decision = decide_client_auth(method, startup.user, secret);
    std::string out;
    switch (login_->decision.exchange) {
    case ClientAuthDecision::Exchange::none: authenticated(); return;
    case ClientAuthDecision::Exchange::cleartext_password: append_authentication(out, 3); break;
    case ClientAuthDecision::Exchange::md5_password:
        random_bytes(login_->salt);
        append_authentication(out, 5, {reinterpret_cast<const char *>(login_->salt.data()), login_->salt.size()});
        break;
    case ClientAuthDecision::Exchange::sasl_scram: {
        login_->scram.emplace(startup.user, secret, worker_.keys());
        std::string mechanisms(kScramMechanism);
        mechanisms.append(2, '\0');
        append_authentication(out, 10, mechanisms);
        break;
    }
    }
    phase_ = Phase::authenticating;
    reply(out);
}

bool Session::on_password_message(std::string_view body) {
    const std::string &user = login_->startup.user;
    if (login_->scram) {
        const bool first = !std::exchange(login_->scram_started, true);
        auto answer = first ? login_->scram->on_initial_response(body) : login_->scram->on_response(body);
        std::string out;
        switch (answer.outcome) {
        case ScramServer::Outcome::challenge:
            append_authentication(out, 11, answer.data);
            reply(out);
            return true;
        case ScramServer::Outcome::refused:
            refuse_login(answer.error.sqlstate, answer.error.message, answer.error.detail, answer.error.log_detail);
            return false;
        case ScramServer::Outcome::accepted:
            append_authentication(out, 12, answer.data);
            reply(out);
            authenticated();
            return true;
        }
    }
    const auto read = read_password_message(body);
    if (const auto *error = std::get_if<AuthError>(&read)) {
        refuse_login(error->sqlstate, error->message, error->detail, error->log_detail);
        return false;
    }
    const std::string_view password = std::get<std::string_view>(read);
    const Secret *secret = worker_.passwords().find(user);
    const bool right = secret != nullptr && !login_->decision.doomed &&
                       (login_->decision.exchange == ClientAuthDecision::Exchange::md5_password
                            ? md5_response_matches(*secret, user, login_->salt, password)
                            : password_matches(*secret, user, password, worker_.keys()));
    if (!right) {
        const AuthError failed = password_authentication_failed(user, login_->decision.log_detail);
        refuse_login(failed.sqlstate, failed.message, failed.detail, failed.log_detail);
        return false;
    }
    authenticated();
    return true;
}

void Session::refuse_login(std::string_view sqlstate, std::string_view message, std::string_view detail,
                           std::string_view log_detail) {
    log_at(LogLevel::warning, "client %s, database \"%s\", user \"%s\": %.*s%s%.*s", client_address().c_str(),
           login_->startup.database.c_str(), login_->startup.user.c_str(), static_cast<int>(message.size()),
           message.data(), log_detail.empty() ? "" : ": ", static_cast<int>(log_detail.size()), log_detail.data());
    std::string out;
    append_error(out, "FATAL", sqlstate, message, detail);
    end_with(out);
}

// From here on the client is who it says it is; names may be counted and shown.
void Session::authenticated() {
    const Config &config = worker_.config();
    const StartupMessage &startup = login_->startup;
    struct Limit {
        LimitKind kind;
        const std::string &name;
        int limit;
        int32_t &slot;
        const char *message;
    };
    Limit limits[] = {
        {LimitKind::user, startup.user, config.max_user_client_connections, user_limit_slot_,
         "too many connections for role "},
        {LimitKind::database, startup.database, config.max_db_client_connections, database_limit_slot_,
         "too many connections for database "},
    };
    for (Limit &limit : limits) {
        if (limit.limit == 0) {
            continue;
        }
        limit.slot = worker_.shared().limit_slot(limit.kind, limit.name);
        if (limit.slot < 0) {
            log_at(LogLevel::warning, "no room to count the connections of \"%s\": not limited", limit.name.c_str());
            continue;
        }
        worker_.shared().limit_add(worker_.index(), limit.slot, 1);
        if (worker_.shared().limit_total(limit.slot) > static_cast<uint32_t>(limit.limit)) {
            end("53300", limit.message + ("\"" + limit.name + "\""));
            return;
        }
    }
    const PoolMode mode = config.pool_mode_for(startup.database, startup.user);
    pool_ = &worker_.pools().find_or_make(startup.database, startup.user, mode);
    pool_->session_added();
    phase_ = Phase::login;
    if (startup.replication) {
        pins_ = kPinnedByReplication;
        std::string packet;
        MessageWriter w(packet);
        w.begin_untyped().u32(3 << 16).string("user").string(startup.user).string("database").string(startup.database);
        w.string("replication").string(startup.replication_value);
        if (!startup.raw_options.empty()) {
            w.string("options").string(startup.raw_options);
        }
        for (const auto &[name, value] : startup.settings) {
            w.string(name).string(value);
        }
        w.u8(0).end();
        ServerConnection *server = worker_.pools().open_replication(*this, std::move(packet));
        if (server == nullptr) {
            pins_ = kNotPinned;
            end("53300", "no server connection is free for replication");
            return;
        }
        pause_ |= kPausedForLease;
        waiting_since_ms_ = worker_.now_ms();
        return;
    }
    const auto app_name =
        std::ranges::find(startup.settings, "application_name", &std::pair<std::string, std::string>::first);
    route_.redirect = worker_.preferences().target_for(
        startup.user, startup.database, app_name != startup.settings.end() ? app_name->second : std::string());
    startup_ = worker_.parameters().intern(settings_of(startup));
    settings_ = startup_;
    if (mode == PoolMode::session) {
        pins_ = kPinnedByMode;
        need_birth();
    }
    login_with_server();
}

// The parameters to report are the server's. For a pool and startup settings seen before they are known; otherwise
// a server connection is brought in line with the settings, which also tells whether they are valid.
void Session::login_with_server() {
    if (mode_needs_no_server()) {
        told_ = pool_->told_for(startup_);
        complete_login();
        return;
    }
    ensure_server();
    if (server_ != nullptr && pause_ == 0) {
        complete_login();
    }
}

bool Session::mode_needs_no_server() const {
    return pins_ == kNotPinned && static_cast<bool>(pool_->told_for(startup_));
}

void Session::complete_login() {
    if (server_ != nullptr) {
        told_ = server_->reported();
        if (!is_replication()) {
            pool_->remember_told(startup_, told_);
        }
    }
    lex_rules_changed();
    std::string out;
    append_authentication(out, 0);
    for (const auto &entry : told_->entries()) {
        append_parameter_status(out, entry.name, entry.value);
    }
    // In session mode the process id is the server's, as applications may compare it with pg_backend_pid(); otherwise
    // it is as random as the secret, but positive.
    uint32_t pid = 0;
    uint32_t secret = 0;
    do {
        pid = server_ != nullptr && pins_ != kNotPinned ? server_->server_pid() : random_u32() >> 1;
        secret = random_u32();
        cancel_key_ = uint64_t{pid} << 32 | secret;
    } while (cancel_key_ == 0);
    worker_.shared().set_cancel_key(worker_.index(), index_, cancel_key_);
    MessageWriter w(out);
    w.begin('K').u32(pid).u32(secret).end();
    append_ready(out, 'I');
    reply(out);
    phase_ = Phase::ready;
    activity_ms_ = worker_.now_ms();
    if (worker_.config().log_connections) {
        log_at(LogLevel::info, "session %u: client %s, database \"%s\", user \"%s\"", index_, client_address().c_str(),
               pool_->database().c_str(), pool_->user().c_str());
    }
    login_.reset();
    if (server_ != nullptr) {
        server_->publish_info(pin_reason_text(pins_));
        server_->publish_lease();
        if (pins_ == kNotPinned) {
            worker_.to_clients().flush();
            lease_ends_ = true;
            finish_lease();
        }
    }
}

} // namespace pgbalancer
