// prepared_statement.h: protocol-level prepared statements, made virtual.
//
// A client names its statements for itself; on the servers they exist under names of ours, prepared
// lazily on whichever connection needs them, and sessions with equal statements share them. What
// "equal" means: same text, same parameter types, same search_path (PostgreSQL resolves names when it
// parses). Three owners: PreparedStatementTable (per worker) interns; NamedStatements (per session)
// maps the client's names; ServerStatements (per server connection) knows what is prepared there, least
// recently used first. Single-threaded.
#pragma once

#include "sql/statement_cache.h"

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace pgbalancer {

class PreparedStatementTable;

class PreparedStatement {
  public:
    const std::string &text() const { return text_; }
    // The tail of the Parse message: count and object ids of the parameter types, as on the wire.
    const std::string &types() const { return types_; }
    const std::string &server_name() const { return server_name_; }
    const StatementRef &statement() const { return statement_; }
    uint64_t id() const { return id_; }
    // Grows when a client parses the statement anew and the catalog may have changed since the last time: a
    // connection where an older version is prepared would answer as the catalog was.
    uint32_t version() const { return version_; }

  private:
    friend class PreparedStatementTable;
    friend class PreparedStatementRef;
    std::string text_;
    std::string types_;
    std::string settings_;
    LexRules rules_;
    std::string server_name_;
    StatementRef statement_;
    uint64_t id_ = 0;
    uint64_t hash_ = 0;
    uint64_t catalog_generation_ = 0;
    int64_t versioned_ms_ = 0;
    PreparedStatementTable *table_ = nullptr;
    uint32_t references_ = 0;
    uint32_t version_ = 1;
};

class PreparedStatementRef {
  public:
    PreparedStatementRef() = default;
    explicit PreparedStatementRef(PreparedStatement *statement) : statement_(statement) { retain(); }
    PreparedStatementRef(const PreparedStatementRef &other) : statement_(other.statement_) { retain(); }
    PreparedStatementRef(PreparedStatementRef &&other) noexcept
        : statement_(std::exchange(other.statement_, nullptr)) {}
    PreparedStatementRef &operator=(PreparedStatementRef other) noexcept {
        std::swap(statement_, other.statement_);
        return *this;
    }
    ~PreparedStatementRef() { release(); }

    const PreparedStatement &operator*() const { return *statement_; }
    const PreparedStatement *operator->() const { return statement_; }
    explicit operator bool() const { return statement_ != nullptr; }
    bool operator==(const PreparedStatementRef &other) const { return statement_ == other.statement_; }

  private:
    friend class PreparedStatementTable;
    void retain() {
        if (statement_ != nullptr) {
            statement_->references_++;
        }
    }
    void release() {
        if (statement_ != nullptr && --statement_->references_ == 0) {
            forget();
        }
    }
    void forget();
    PreparedStatement *statement_ = nullptr;
};

class PreparedStatementTable {
  public:
    PreparedStatementTable() = default;
    PreparedStatementTable(const PreparedStatementTable &) = delete;
    PreparedStatementTable &operator=(const PreparedStatementTable &) = delete;
    ~PreparedStatementTable();

    // What a Parse depends on besides its text.
    struct Context {
        std::string_view settings; // the session's that decide what it means (ParameterSet::meaning)
        LexRules rules;
        uint64_t catalog_generation; // grows with DDL seen by any worker
        int64_t now_ms;
        PreparedStatementRef likely{}; // looked at first, may be null: clients repeat themselves
    };
    PreparedStatementRef intern(std::string_view text, std::string_view types, const Context &context,
                                StatementCache &cache);
    size_t size() const { return statements_.size(); }

  private:
    friend class PreparedStatementRef;
    static bool is_same(const PreparedStatement &known, std::string_view text, std::string_view types,
                        const Context &context);
    static void renew_version(PreparedStatement &statement, const Context &context);
    void forget(PreparedStatement *statement);
    // DDL that went past pgbalancer is noticed by nobody; so versions also grow with time.
    static constexpr int64_t kVersionMs = 1000;
    static constexpr size_t kRecent = 256;

    std::unordered_multimap<uint64_t, PreparedStatement *> statements_;
    std::vector<PreparedStatementRef> recent_; // keeps unnamed statements alive between two uses
    size_t next_recent_ = 0;
    uint64_t last_id_ = 0;
};

// Names of ours begin with this; a client's statement is never looked up under such a name on a server.
constexpr std::string_view kServerStatementPrefix = "_pgb_";
// No statement of this name exists anywhere: binding it is an error, at the right place in the order.
constexpr std::string_view kNoStatement = "_pgb_none";

struct NamedStatement {
    std::string name;
    PreparedStatementRef statement;
    uint64_t shape = 0; // what the client was shown of parameters and result (ShapeHash); 0 = nothing
    uint32_t version = 0;
    bool materialised = false; // exists on the leased server connection under the client's own name
    // By a Close: gone, unless the server does not come to it.
    bool closed = false;
    // Until the Parse or Close is answered: its note, and the batch it is part of. What a later batch says of the name
    // depends on the answer.
    uint32_t undecided = 0;
    uint32_t batch = 0;

    // Another statement under the same name, of which the client has been shown nothing yet.
    void replace(PreparedStatementRef by) {
        statement = std::move(by);
        shape = 0;
        version = statement->version();
        materialised = false;
        closed = false;
        undecided = 0;
    }
};

class NamedStatements {
  public:
    NamedStatement *find(std::string_view name);
    void define(NamedStatement statement);
    void remove(std::string_view name);
    void clear() { statements_ = {}; }
    bool empty() const { return statements_.empty(); }
    std::vector<NamedStatement> &all() { return statements_; }

  private:
    std::vector<NamedStatement> statements_; // sorted by name
};

class ServerStatements {
  public:
    explicit ServerStatements(size_t limit) : limit_(limit) {}
    ServerStatements(const ServerStatements &) = delete;
    ServerStatements &operator=(const ServerStatements &) = delete;

    struct Prepared {
        PreparedStatementRef statement;
        uint32_t version = 0;
        uint32_t undecided = 0; // until its Parse is answered: the note, and the batch it is part of
        uint32_t batch = 0;
        uint64_t shape = 0; // if it was described here, else 0
    };
    // Null if not prepared here; otherwise it becomes the most recently used. Valid until the next change.
    const Prepared *touch(const PreparedStatement &statement);
    void add(PreparedStatementRef statement, uint32_t version, uint32_t undecided = 0, uint32_t batch = 0);
    void decide(const PreparedStatement &statement, uint32_t note);
    void set_shape(const PreparedStatement &statement, uint64_t shape);
    void remove(const PreparedStatement &statement);
    // The statement to close before another is added; null while there is room.
    Prepared evict();
    // Some statement, which is prepared here no more; null when there is none.
    Prepared take_any();
    void clear();
    size_t size() const { return nodes_.size(); }

  private:
    struct Node {
        Prepared prepared;
        Node *newer = nullptr;
        Node *older = nullptr;
    };
    void unlink(Node &node);
    void push_newest(Node &node);

    size_t limit_;
    std::unordered_map<uint64_t, Node> nodes_;
    Node *newest_ = nullptr;
    Node *oldest_ = nullptr;
};

// Hash of a ParameterDescription and of a RowDescription body as far as PostgreSQL compares them before
// it says "cached plan must not change result type": types of parameters; names, types and modifiers of
// columns. Feed both in order; NoData feeds nothing. Never 0 at the end.
class ShapeHash {
  public:
    bool add_parameters(std::string_view body); // false: malformed
    bool add_columns(std::string_view body);
    uint64_t value() const { return hash_ | 1; }

  private:
    void mix(uint64_t v);
    uint64_t hash_ = 0x9e3779b97f4a7c15;
};

} // namespace pgbalancer
