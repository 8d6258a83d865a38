// server_login.cpp: ServerConnection from connect to the first ReadyForQuery (manual: Message Flow, Start-up).
#include "child/auth_md5.h"
#include "child/auth_policy.h"
#include "child/pool.h"
#include "child/server_connection.h"
#include "child/session.h"
#include "child/worker_process.h"
#include "common/log.h"

#include <variant>

namespace pgbalancer {

namespace {

constexpr size_t kMaxLoginMessageBytes = 65536;

enum AuthenticationCode : uint32_t {
    kAuthOk = 0,
    kAuthCleartextPassword = 3,
    kAuthMd5Password = 5,
    kAuthSasl = 10,
    kAuthSaslContinue = 11,
    kAuthSaslFinal = 12,
};

} // namespace

void ServerConnection::send_startup() {
    send_copy(startup_packet_);
    worker_.to_servers().flush();
}

void ServerConnection::fail_login(const std::string &message, std::string_view sqlstate) {
    log_at(LogLevel::warning, "node %d (%s:%u), database %s, user %s: %s", node_, node_host_.c_str(), node_port_,
           pool_.database().c_str(), pool_.user().c_str(), message.c_str());
    std::string report;
    append_error(report, "FATAL", sqlstate, message);
    // Only what the network said puts the node under suspicion: a secret we lack is our own trouble.
    const bool unreachable = sqlstate == "08001" || sqlstate == "08006";
    if (unreachable) {
        worker_.report_suspect(node_);
    }
    worker_.pools().on_open_failed(*this, std::string_view(report).substr(kHeaderBytes), unreachable);
}

void ServerConnection::login_refused(std::string_view report) {
    const ServerReport said = read_report(report);
    log_at(LogLevel::warning, "node %d (%s:%u), database %s, user %s: server says: %.*s", node_, node_host_.c_str(),
           node_port_, pool_.database().c_str(), pool_.user().c_str(), static_cast<int>(said.message.size()),
           said.message.data());
    worker_.pools().on_open_failed(*this, report, false);
}

size_t ServerConnection::process_login(std::string_view data) {
    size_t pos = 0;
    while (state_ == State::authenticating && data.size() - pos >= kHeaderBytes) {
        const MessageHeader header = read_header(data.data() + pos);
        if (header.length < 4 || header.length > kMaxLoginMessageBytes) {
            protocol_violation("impossible message length during login");
            return pos;
        }
        if (data.size() - pos < header.total()) {
            return pos;
        }
        const std::string_view body = data.substr(pos + kHeaderBytes, header.body());
        pos += header.total();
        switch (header.type) {
        case 'R':
            if (!on_authentication(body)) {
                return pos;
            }
            break;
        case 'S': {
            FieldReader fields(body);
            const std::string_view name = fields.string();
            const std::string_view value = fields.string();
            if (!fields.ok()) {
                protocol_violation("malformed ParameterStatus");
                return pos;
            }
            reported_at_login_.push_back({std::string(name), std::string(told_value(name, value))});
            break;
        }
        case 'K':
            if (body.size() != 8) {
                protocol_violation("malformed BackendKeyData");
                return pos;
            }
            server_pid_ = read_u32(body.data());
            server_secret_ = read_u32(body.data() + 4);
            break;
        case 'E': login_refused(body); return pos;
        case 'N':
        case 'v': break;
        case 'Z':
            if (scram_ != nullptr && !scram_->server_verified()) {
                protocol_violation("login finished without a proof of the server");
                return pos;
            }
            logged_in();
            return pos;
        default: protocol_violation("unexpected message during login"); return pos;
        }
    }
    return pos;
}

bool ServerConnection::on_authentication(std::string_view body) {
    FieldReader fields(body);
    const uint32_t code = fields.u32();
    if (!fields.ok()) {
        protocol_violation("malformed authentication request");
        return false;
    }
    const Secret *secret = worker_.passwords().find(pool_.user());
    const auto *verifier = secret == nullptr ? nullptr : std::get_if<ScramVerifier>(secret);
    const bool have_key = verifier != nullptr && worker_.keys().client_key(*verifier) != nullptr;
    const auto able = [&](ServerAuthRequest request) {
        auto decision = decide_server_auth(request, pool_.user(), secret, have_key);
        if (!decision) {
            fail_login(decision.error().message, "28000");
        }
        return static_cast<bool>(decision);
    };
    std::string answer;
    MessageWriter w(answer);
    switch (code) {
    case kAuthOk:
        if (scram_ != nullptr && !scram_->server_verified()) {
            protocol_violation("AuthenticationOk without a proof of the server");
            return false;
        }
        return true;
    case kAuthCleartextPassword:
        if (!able(ServerAuthRequest::cleartext_password)) {
            return false;
        }
        w.begin('p').string(std::get<PlainSecret>(*secret).password.view()).end();
        break;
    case kAuthMd5Password: {
        if (!able(ServerAuthRequest::md5_password)) {
            return false;
        }
        const std::string_view given = fields.bytes(4);
        if (!fields.ok()) {
            protocol_violation("malformed authentication request");
            return false;
        }
        Md5Salt salt{};
        memcpy(salt.data(), given.data(), salt.size());
        auto response = md5_response(*secret, pool_.user(), salt);
        if (!response) {
            fail_login(response.error().message, "28000");
            return false;
        }
        w.begin('p').string(response->view()).end();
        break;
    }
    case kAuthSasl: {
        if (!able(ServerAuthRequest::sasl_scram)) {
            return false;
        }
        scram_ = std::make_unique<ScramClient>(*secret, worker_.keys());
        auto response = scram_->on_mechanisms(fields.rest());
        if (!response) {
            fail_login(response.error().message, "08P01");
            return false;
        }
        w.begin('p').bytes(*response).end();
        break;
    }
    case kAuthSaslContinue: {
        if (scram_ == nullptr) {
            protocol_violation("SASL message out of order");
            return false;
        }
        auto response = scram_->on_continue(fields.rest());
        if (!response) {
            fail_login(response.error().message, "08P01");
            return false;
        }
        w.begin('p').bytes(*response).end();
        break;
    }
    case kAuthSaslFinal: {
        if (scram_ == nullptr) {
            protocol_violation("SASL message out of order");
            return false;
        }
        const Status verified = scram_->on_final(fields.rest());
        if (!verified) {
            fail_login(verified.error().message, "08P01");
            return false;
        }
        return true;
    }
    default: fail_login("server asks for an authentication method that is not supported", "28000"); return false;
    }
    send_copy(answer);
    worker_.to_servers().flush();
    wipe(answer.data(), answer.size());
    return true;
}

void ServerConnection::logged_in() {
    reported_ = worker_.parameters().intern(std::move(reported_at_login_));
    reported_at_login_ = {};
    startup_packet_ = {};
    scram_.reset();
    transaction_status_ = 'I';
    state_ = State::idle;
    idle_since_ms_ = worker_.now_ms();
    publish_info(pass_through_ ? pin_reason_text(kPinnedByReplication) : std::string_view());
    publish_lease();
    log_at(LogLevel::debug, "node %d: connected as %s to %s, server process %u", node_, pool_.user().c_str(),
           pool_.database().c_str(), server_pid_);
    worker_.pools().on_opened(*this);
}

} // namespace pgbalancer
