#include "health/node_connection.h"

#include <cstdlib>

namespace pgbalancer {

namespace {

using Answer = std::unique_ptr<PGresult, decltype([](PGresult *r) { PQclear(r); })>;

} // namespace

void forget_libpq_environment() {
    const std::unique_ptr<PQconninfoOption, decltype([](PQconninfoOption *o) { PQconninfoFree(o); })> options(
        PQconndefaults());
    for (const PQconninfoOption *option = options.get(); option != nullptr && option->keyword != nullptr; option++) {
        if (option->envvar != nullptr) {
            unsetenv(option->envvar);
        }
    }
}

void NodeConnection::open(const NodeTarget &target) {
    stage_ = Stage::connecting;
    const std::string port = std::to_string(target.port);
    // Empty values count as not given.
    const char *keywords[] = {"host", "port", "user", "password", "dbname", "application_name", "gssencmode", nullptr};
    const char *values[] = {target.host.c_str(),     port.c_str(),      target.user.c_str(), target.password.c_str(),
                            target.database.c_str(), application_name_, "disable",           nullptr};
    connection_.reset(PQconnectStartParams(keywords, values, 0));
    if (!connection_ || PQstatus(connection_.get()) == CONNECTION_BAD) {
        fail();
        return;
    }
    PQsetErrorVerbosity(connection_.get(), PQERRORS_VERBOSE);
    PQsetNoticeProcessor(
        connection_.get(), [](void *, const char *) {}, nullptr);
    watch(EV_WRITE);
}

// libpq may close its socket and open another within PQconnectPoll, so it is never registered across that.
void NodeConnection::poll_login() {
    event_.disarm();
    switch (PQconnectPoll(connection_.get())) {
    case PGRES_POLLING_READING: watch(EV_READ); break;
    case PGRES_POLLING_WRITING: watch(EV_WRITE); break;
    case PGRES_POLLING_OK:
        PQsetnonblocking(connection_.get(), 1);
        server_version_ = PQserverVersion(connection_.get());
        stage_ = Stage::idle;
        watch(EV_READ);
        owner_.on_connection_open();
        break;
    default: fail(); break;
    }
}

void NodeConnection::ask(const char *statement) {
    stage_ = Stage::asking;
    if (PQsendQuery(connection_.get(), statement) == 0) {
        fail();
        return;
    }
    watch(EV_READ | EV_WRITE);
}

void NodeConnection::read_answer() {
    PGconn *connection = connection_.get();
    const int unsent = PQflush(connection);
    if (unsent < 0 || PQconsumeInput(connection) == 0) {
        fail();
        return;
    }
    if (PQisBusy(connection) != 0) {
        watch(static_cast<short>(unsent > 0 ? EV_READ | EV_WRITE : EV_READ));
        return;
    }
    const Answer answer(PQgetResult(connection));
    if (!answer || PQstatus(connection) == CONNECTION_BAD) {
        fail();
        return;
    }
    // A single statement has a single result; anything behind it is not worth understanding.
    while (const Answer rest{PQisBusy(connection) == 0 ? PQgetResult(connection) : nullptr}) {
    }
    if (PQtransactionStatus(connection) == PQTRANS_IDLE) {
        stage_ = Stage::idle;
        watch(EV_READ);
    } else {
        close();
    }
    owner_.on_connection_answer(*answer);
}

void NodeConnection::on_io(short) {
    switch (stage_) {
    case Stage::connecting: poll_login(); break;
    case Stage::asking: read_answer(); break;
    case Stage::idle: read_unasked(); break;
    case Stage::closed: break;
    }
}

void NodeConnection::read_unasked() {
    // Parameter changes and notices also come unasked.
    if (PQconsumeInput(connection_.get()) == 0 || PQstatus(connection_.get()) != CONNECTION_OK) {
        fail();
    }
}

void NodeConnection::watch(short what) {
    // Arming again costs two system calls; during an answer the interest rarely changes.
    if (event_.interest() != what) {
        event_.arm<&NodeConnection::on_io>(loop_, PQsocket(connection_.get()), what, this);
    }
}

void NodeConnection::fail() {
    const Failure failure{.during = stage_,
                          .message = connection_ ? PQerrorMessage(connection_.get()) : "out of memory",
                          .needs_password = connection_ && PQconnectionNeedsPassword(connection_.get()) != 0};
    close();
    owner_.on_connection_failed(failure);
}

void NodeConnection::close() {
    event_.disarm();
    connection_.reset();
    stage_ = Stage::closed;
}

} // namespace pgbalancer
