// node_connection.h: a libpq connection that never blocks: logging in, asking one statement at a time, noticing its
// end.
//
// What an end or an answer means, when to try again and for how long is for its owner to decide; so are time-outs:
// close() ends anything that is under way. Watched while it is idle, too: a server that goes away is noticed when its
// connections close. (Looking up a host *name* is libpq's own and does block.) Health process only.
#pragma once

#include "common/event_loop.h"

#include <cstdint>
#include <libpq-fe.h>
#include <memory>
#include <string>

namespace pgbalancer {

// Where and as whom. Empty user: libpq's default, the operating system's user.
struct NodeTarget {
    std::string host;
    uint16_t port = 0;
    std::string user;
    std::string password;
    std::string database;
    bool operator==(const NodeTarget &) const = default;
};

class NodeConnection {
  public:
    enum class Stage { closed, connecting, asking, idle };
    struct Failure {
        Stage during = Stage::closed;
        std::string message;         // libpq's own, with the SQLSTATE in it (server_error.h)
        bool needs_password = false; // the server asked for one and there was none
    };
    // Any member of the connection may be called from within these.
    class Owner {
      public:
        virtual void on_connection_open() = 0;
        // The first result of the statement. The connection is idle again, or closed if it is not in order any more.
        virtual void on_connection_answer(const PGresult &answer) = 0;
        // Closed, but not by close().
        virtual void on_connection_failed(const Failure &failure) = 0;

      protected:
        ~Owner() = default;
    };

    NodeConnection(EventLoop &loop, const char *application_name, Owner &owner)
        : loop_(loop), application_name_(application_name), owner_(owner) {}

    // Closed only. May report a failure from within.
    void open(const NodeTarget &target);
    // Idle only. May report a failure from within.
    void ask(const char *statement);
    void close();

    Stage stage() const { return stage_; }
    int server_version() const { return server_version_; } // PQserverVersion() of the last login

  private:
    struct Finish {
        void operator()(PGconn *connection) const { PQfinish(connection); }
    };

    void on_io(short what);
    void poll_login();
    void read_answer();
    void read_unasked();
    void watch(short what);
    void fail();

    EventLoop &loop_;
    const char *application_name_;
    Owner &owner_;
    Stage stage_ = Stage::closed;
    int server_version_ = 0;
    std::unique_ptr<PGconn, Finish> connection_;
    IoEvent event_; // after the connection: unregistered before PQfinish
};

// Removes from the environment what libpq would take defaults from: connections get their settings from the
// configuration alone. Once, before the first connection.
void forget_libpq_environment();

} // namespace pgbalancer
