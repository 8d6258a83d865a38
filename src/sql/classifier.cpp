#include "sql/classifier.h"

#include "sql/canonical_text.h"
#include "sql/parse_tree.h"
#include "sql/routing_hint.h"
#include "sql/tree_walk.h"

#include <algorithm>
#include <span>
#include <string>
#include <string_view>

namespace pgbalancer {

namespace {

constexpr size_t kLongestParsed = 64 * 1024;
// Of stack for the tree's depth: two megabytes of the usual eight.
constexpr size_t kDeepestParsed = 1000;
// Depth times length: the library copies what is below a level at every level.
constexpr size_t kMostCopied = 16 * 1024 * 1024;
// More names than any sensible statement has are not kept: the statement counts as opaque instead.
constexpr size_t kMostNames = 500;
constexpr size_t kMostAttributes = 2000;

// A read with any of these is no read: its text does not prove that it changes nothing.
constexpr uint32_t kNotARead = ~uint32_t{kNow | kNodeBound | kNamesPrepared};

// How much of a statement's inside takes effect when it runs.
enum class Inside {
    runs,    // all of it
    planned, // functions may be called while planning, nothing else: EXPLAIN
    stored,  // nothing: the body of a view, a column's default
};

std::string ascii_lower(std::string_view text) {
    std::string lower(text);
    std::ranges::transform(lower, lower.begin(),
                           [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c; });
    return lower;
}

std::string_view view(const char *text) { return text == nullptr ? std::string_view() : std::string_view(text); }

template <class Message> const ProtobufCMessage &base(const Message &message) { return message.base; }

// What is plainly temporary is nobody else's catalog. With pg_temp first in the search_path (whose value is a literal),
// what is created without a schema is temporary, and the text does not show it.
uint32_t effects_of_creating(const PgQuery__RangeVar *relation) {
    if (relation != nullptr && view(relation->relpersistence) == "t") {
        return kPinTempObject;
    }
    return kDdl | (relation == nullptr || view(relation->schemaname).empty() ? kOpaque : kNoEffect);
}

// Classifies the statements of one text into one Classification.
class StatementClassifier {
  public:
    explicit StatementClassifier(Classification &what) : what_(what) {}

    void statement(const PgQuery__Node &node);
    // The last one was a query that itself writes nothing.
    bool was_query() const { return query_; }

  private:
    void inside(const ProtobufCMessage &tree, Inside how);
    void ddl(const PgQuery__Node &node, uint32_t effects = 0, Inside how = Inside::runs);
    void creates(const PgQuery__Node &node, const PgQuery__RangeVar *relation, Inside how);
    void creates(const PgQuery__Node &node, PgQuery__Node *const *name_parts, size_t parts);

    void select(const PgQuery__SelectStmt &stmt);
    void transaction(const PgQuery__TransactionStmt &stmt);
    void transaction_options(std::span<PgQuery__Node *const> options);
    void variable_set(const PgQuery__VariableSetStmt &stmt);
    void discard(const PgQuery__DiscardStmt &stmt);
    void deallocate(const PgQuery__DeallocateStmt &stmt);
    void declare_cursor(const PgQuery__DeclareCursorStmt &stmt);
    void explain(const PgQuery__ExplainStmt &stmt);
    void copy(const PgQuery__CopyStmt &stmt);
    void create_table_as(const PgQuery__Node &node, const PgQuery__CreateTableAsStmt &stmt);

    void set_kind(StatementKind kind) { what_.kind = kind; }
    void add(uint32_t effects) { what_.effects |= effects; }

    Classification &what_;
    bool query_ = false;
};

void StatementClassifier::inside(const ProtobufCMessage &tree, Inside how) {
    if (how == Inside::runs) {
        collect_names(tree, what_);
        return;
    }
    Classification found;
    collect_names(tree, found);
    if (how == Inside::stored) {
        // What is made in a temporary schema, or from what is in one, goes with the session.
        add(found.effects & kPinTempObject);
    } else {
        // The planner calls stable and immutable functions; what they are called is what the catalog can judge.
        add(found.effects & (kOpaque | kNamesPrepared));
        const auto append = [](auto &to, auto &from) { to.insert(to.end(), from.begin(), from.end()); };
        append(what_.functions, found.functions);
        append(what_.relations, found.relations);
        append(what_.operators, found.operators);
        append(what_.types, found.types);
        append(what_.builtins, found.builtins);
        append(what_.attributes, found.attributes);
    }
}

void StatementClassifier::ddl(const PgQuery__Node &node, uint32_t effects, Inside how) {
    set_kind(StatementKind::ddl);
    add(kDdl | effects);
    inside(base(node), how);
}

void StatementClassifier::creates(const PgQuery__Node &node, const PgQuery__RangeVar *relation, Inside how) {
    set_kind(StatementKind::ddl);
    add(effects_of_creating(relation));
    inside(base(node), how);
}
void StatementClassifier::creates(const PgQuery__Node &node, PgQuery__Node *const *, size_t parts) {
    ddl(node, parts < 2 ? kOpaque : kNoEffect, Inside::stored);
}

void StatementClassifier::select(const PgQuery__SelectStmt &stmt) {
    inside(base(stmt), Inside::runs);
    // SELECT INTO is allowed in the first arm of a set operation only.
    const PgQuery__SelectStmt *first = &stmt;
    while (first->larg != nullptr) {
        first = first->larg;
    }
    if (first->into_clause != nullptr) {
        set_kind(StatementKind::ddl);
        return add(effects_of_creating(first->into_clause->rel));
    }
    set_kind(what_.writes_relations ? StatementKind::write : StatementKind::read);
    query_ = !what_.writes_relations;
}

void StatementClassifier::transaction_options(std::span<PgQuery__Node *const> options) {
    for (const PgQuery__Node *node : options) {
        if (node->node_case != PG_QUERY__NODE__NODE_DEF_ELEM || node->def_elem->arg == nullptr ||
            node->def_elem->arg->node_case != PG_QUERY__NODE__NODE_A_CONST) {
            continue;
        }
        // These constants are the grammar's, made from key words.
        const std::string_view name = view(node->def_elem->defname);
        const PgQuery__AConst &value = *node->def_elem->arg->a_const;
        if (name == "transaction_isolation" && value.val_case == PG_QUERY__A__CONST__VAL_SVAL) {
            const std::string_view level = view(value.sval->sval);
            what_.isolation = level == "serializable"      ? TransactionIsolation::serializable
                              : level == "repeatable read" ? TransactionIsolation::repeatable_read
                              : level == "read committed"  ? TransactionIsolation::read_committed
                                                           : TransactionIsolation::read_uncommitted;
        } else if (name == "transaction_read_only" && value.val_case == PG_QUERY__A__CONST__VAL_IVAL) {
            what_.access = value.ival->ival != 0 ? TransactionAccess::read_only : TransactionAccess::read_write;
        }
    }
}

void StatementClassifier::transaction(const PgQuery__TransactionStmt &stmt) {
    add(kTransactionControl | (stmt.chain ? kChain : kNoEffect));
    switch (stmt.kind) {
    case PG_QUERY__TRANSACTION_STMT_KIND__TRANS_STMT_BEGIN:
    case PG_QUERY__TRANSACTION_STMT_KIND__TRANS_STMT_START:
        set_kind(StatementKind::begin);
        transaction_options({stmt.options, stmt.n_options});
        break;
    case PG_QUERY__TRANSACTION_STMT_KIND__TRANS_STMT_COMMIT: set_kind(StatementKind::commit); break;
    case PG_QUERY__TRANSACTION_STMT_KIND__TRANS_STMT_ROLLBACK: set_kind(StatementKind::rollback); break;
    case PG_QUERY__TRANSACTION_STMT_KIND__TRANS_STMT_PREPARE: set_kind(StatementKind::prepare_transaction); break;
    case PG_QUERY__TRANSACTION_STMT_KIND__TRANS_STMT_COMMIT_PREPARED:
    case PG_QUERY__TRANSACTION_STMT_KIND__TRANS_STMT_ROLLBACK_PREPARED: set_kind(StatementKind::commit_prepared); break;
    default: set_kind(StatementKind::savepoint); break;
    }
}

void StatementClassifier::variable_set(const PgQuery__VariableSetStmt &stmt) {
    what_.name = ascii_lower(view(stmt.name));
    if (stmt.kind == PG_QUERY__VARIABLE_SET_KIND__VAR_SET_MULTI) {
        // SET TRANSACTION …, SET TRANSACTION SNAPSHOT, SET SESSION CHARACTERISTICS AS TRANSACTION …
        const bool session = what_.name == "session characteristics";
        what_.name.clear();
        set_kind(session ? StatementKind::set : StatementKind::set_local);
        add(session ? kSetsSetting | kPinSetting : kNoEffect);
        transaction_options({stmt.args, stmt.n_args});
        return;
    }
    const bool reset = stmt.kind == PG_QUERY__VARIABLE_SET_KIND__VAR_RESET ||
                       stmt.kind == PG_QUERY__VARIABLE_SET_KIND__VAR_SET_DEFAULT ||
                       stmt.kind == PG_QUERY__VARIABLE_SET_KIND__VAR_RESET_ALL;
    // These are set anew at the start of every transaction.
    const bool of_transaction = what_.name == "transaction_isolation" || what_.name == "transaction_read_only" ||
                                what_.name == "transaction_deferrable";
    if (stmt.is_local || of_transaction) {
        set_kind(StatementKind::set_local);
        return add(reset && !of_transaction ? kResetsInside : kNoEffect);
    }
    const bool role = what_.name == "role" || what_.name == "session_authorization";
    add(role ? kSetsRole : kNoEffect);
    if (reset) {
        set_kind(StatementKind::reset);
        add(kResets | kMayUnpin);
        if (stmt.kind == PG_QUERY__VARIABLE_SET_KIND__VAR_RESET_ALL) {
            what_.name = "all";
        }
        return;
    }
    set_kind(StatementKind::set);
    add(kSetsSetting | (role || what_.name == "seed" ? kPinSetting : kNoEffect));
}

void StatementClassifier::discard(const PgQuery__DiscardStmt &stmt) {
    set_kind(StatementKind::discard);
    switch (stmt.target) {
    case PG_QUERY__DISCARD_MODE__DISCARD_ALL:
        what_.name = "all";
        add(kResets | kMayUnpin | kDeallocatesAll);
        break;
    case PG_QUERY__DISCARD_MODE__DISCARD_TEMP:
        what_.name = "temp";
        add(kMayUnpin);
        break;
    case PG_QUERY__DISCARD_MODE__DISCARD_SEQUENCES:
        what_.name = "sequences";
        add(kMayUnpin);
        break;
    default: what_.name = "plans"; break;
    }
}

void StatementClassifier::deallocate(const PgQuery__DeallocateStmt &stmt) {
    set_kind(StatementKind::deallocate);
    what_.name = view(stmt.name);
    add(kMayUnpin | (what_.name.empty() ? kDeallocatesAll : kNamesPrepared));
}

void StatementClassifier::declare_cursor(const PgQuery__DeclareCursorStmt &stmt) {
    constexpr int kHold = 0x20; // CURSOR_OPT_HOLD in PostgreSQL 15's nodes/parsenodes.h
    set_kind(StatementKind::declare_cursor);
    add((stmt.options & kHold) != 0 ? kPinHoldCursor : kNoEffect);
    inside(base(stmt), Inside::runs);
}

void StatementClassifier::explain(const PgQuery__ExplainStmt &stmt) {
    // The option's value may be a literal, so ANALYZE off counts as ANALYZE.
    const bool analyze = std::ranges::any_of(std::span(stmt.options, stmt.n_options), [](const PgQuery__Node *option) {
        return option->node_case == PG_QUERY__NODE__NODE_DEF_ELEM && view(option->def_elem->defname) == "analyze";
    });
    if (stmt.query != nullptr) {
        const bool execute = stmt.query->node_case == PG_QUERY__NODE__NODE_EXECUTE_STMT;
        if (analyze) {
            statement(*stmt.query);
        } else {
            add(execute ? kNamesPrepared | kOpaque : kNoEffect);
            inside(base(*stmt.query), Inside::planned);
            query_ = true;
        }
        what_.name = execute ? view(stmt.query->execute_stmt->name) : std::string_view();
    }
    set_kind(StatementKind::explain);
}

void StatementClassifier::copy(const PgQuery__CopyStmt &stmt) {
    inside(base(stmt), Inside::runs);
    if (stmt.is_from) {
        set_kind(StatementKind::copy_from);
        what_.writes_relations = true;
    } else if (stmt.is_program || !view(stmt.filename).empty()) {
        set_kind(StatementKind::write); // writes a file on the server
    } else {
        set_kind(StatementKind::copy_to);
        query_ = !what_.writes_relations;
    }
}

void StatementClassifier::create_table_as(const PgQuery__Node &node, const PgQuery__CreateTableAsStmt &stmt) {
    if (stmt.query != nullptr && stmt.query->node_case == PG_QUERY__NODE__NODE_EXECUTE_STMT) {
        add(kNamesPrepared | kOpaque);
    }
    creates(node, stmt.into == nullptr ? nullptr : stmt.into->rel, Inside::runs);
}

void StatementClassifier::statement(const PgQuery__Node &node) {
    query_ = false;
    switch (node.node_case) {
    case PG_QUERY__NODE__NODE_SELECT_STMT: return select(*node.select_stmt);
    case PG_QUERY__NODE__NODE_INSERT_STMT:
    case PG_QUERY__NODE__NODE_UPDATE_STMT:
    case PG_QUERY__NODE__NODE_DELETE_STMT:
    case PG_QUERY__NODE__NODE_MERGE_STMT: set_kind(StatementKind::write); return inside(base(node), Inside::runs);
    case PG_QUERY__NODE__NODE_TRANSACTION_STMT: return transaction(*node.transaction_stmt);
    case PG_QUERY__NODE__NODE_VARIABLE_SET_STMT: return variable_set(*node.variable_set_stmt);
    case PG_QUERY__NODE__NODE_VARIABLE_SHOW_STMT:
        set_kind(StatementKind::show);
        what_.name = ascii_lower(view(node.variable_show_stmt->name));
        return;
    case PG_QUERY__NODE__NODE_DISCARD_STMT: return discard(*node.discard_stmt);
    case PG_QUERY__NODE__NODE_PREPARE_STMT:
        inside(base(node), Inside::runs);
        set_kind(StatementKind::prepare);
        what_.name = view(node.prepare_stmt->name);
        return add(kPinPrepare | kNamesPrepared);
    case PG_QUERY__NODE__NODE_EXECUTE_STMT:
        inside(base(node), Inside::runs);
        set_kind(StatementKind::execute);
        what_.name = view(node.execute_stmt->name);
        return add(kNamesPrepared | kOpaque);
    case PG_QUERY__NODE__NODE_DEALLOCATE_STMT: return deallocate(*node.deallocate_stmt);
    case PG_QUERY__NODE__NODE_DECLARE_CURSOR_STMT: return declare_cursor(*node.declare_cursor_stmt);
    case PG_QUERY__NODE__NODE_FETCH_STMT: return set_kind(StatementKind::fetch_or_close);
    case PG_QUERY__NODE__NODE_CLOSE_PORTAL_STMT: set_kind(StatementKind::fetch_or_close); return add(kMayUnpin);
    case PG_QUERY__NODE__NODE_LISTEN_STMT: set_kind(StatementKind::listen); return add(kPinListen);
    case PG_QUERY__NODE__NODE_UNLISTEN_STMT: set_kind(StatementKind::unlisten); return add(kMayUnpin);
    case PG_QUERY__NODE__NODE_NOTIFY_STMT: return set_kind(StatementKind::notify);
    case PG_QUERY__NODE__NODE_LOCK_STMT:
        inside(base(node), Inside::runs);
        set_kind(StatementKind::lock);
        return add(kLocks);
    case PG_QUERY__NODE__NODE_COPY_STMT: return copy(*node.copy_stmt);
    case PG_QUERY__NODE__NODE_EXPLAIN_STMT: return explain(*node.explain_stmt);
    case PG_QUERY__NODE__NODE_CALL_STMT:
        inside(base(node), Inside::runs);
        set_kind(StatementKind::call);
        return add(kOpaque);
    case PG_QUERY__NODE__NODE_DO_STMT:
        set_kind(StatementKind::do_block);
        return add(kOpaque | kDdl | kResetsInside); // migrations are what DO is mostly for
    case PG_QUERY__NODE__NODE_CONSTRAINTS_SET_STMT: return set_kind(StatementKind::set_local);
    case PG_QUERY__NODE__NODE_TRUNCATE_STMT:
        inside(base(node), Inside::runs);
        set_kind(StatementKind::write);
        what_.writes_relations = true;
        return;
    case PG_QUERY__NODE__NODE_LOAD_STMT: set_kind(StatementKind::write); return add(kPinLoad);
    case PG_QUERY__NODE__NODE_CHECK_POINT_STMT: return set_kind(StatementKind::write);
    case PG_QUERY__NODE__NODE_ALTER_SYSTEM_STMT: set_kind(StatementKind::write); return add(kAltersDefaults);
    case PG_QUERY__NODE__NODE_ALTER_ROLE_SET_STMT:
    case PG_QUERY__NODE__NODE_ALTER_DATABASE_SET_STMT: return ddl(node, kAltersDefaults, Inside::stored);
    // These run the functions in indexes, statistics and queries that only the catalog knows.
    case PG_QUERY__NODE__NODE_VACUUM_STMT:
    case PG_QUERY__NODE__NODE_CLUSTER_STMT:
    case PG_QUERY__NODE__NODE_REINDEX_STMT:
    case PG_QUERY__NODE__NODE_REFRESH_MAT_VIEW_STMT:
        inside(base(node), Inside::runs);
        set_kind(StatementKind::write);
        return add(kOpaque);
    case PG_QUERY__NODE__NODE_INDEX_STMT:
    // These run scripts.
    case PG_QUERY__NODE__NODE_CREATE_EXTENSION_STMT:
    case PG_QUERY__NODE__NODE_ALTER_EXTENSION_STMT:
    case PG_QUERY__NODE__NODE_IMPORT_FOREIGN_SCHEMA_STMT:
    case PG_QUERY__NODE__NODE_CREATE_SCHEMA_STMT: return ddl(node, kOpaque);
    case PG_QUERY__NODE__NODE_ALTER_TABLE_STMT:
        what_.writes_relations = true; // may rewrite the table: defaults, constraints, indexes
        return ddl(node);
    case PG_QUERY__NODE__NODE_CREATE_TABLE_AS_STMT: return create_table_as(node, *node.create_table_as_stmt);
    case PG_QUERY__NODE__NODE_CREATE_STMT: return creates(node, node.create_stmt->relation, Inside::stored);
    case PG_QUERY__NODE__NODE_VIEW_STMT: return creates(node, node.view_stmt->view, Inside::stored);
    case PG_QUERY__NODE__NODE_CREATE_SEQ_STMT: return creates(node, node.create_seq_stmt->sequence, Inside::stored);
    case PG_QUERY__NODE__NODE_COMPOSITE_TYPE_STMT:
        return creates(node, node.composite_type_stmt->typevar, Inside::stored);
    case PG_QUERY__NODE__NODE_CREATE_FUNCTION_STMT:
        return creates(node, node.create_function_stmt->funcname, node.create_function_stmt->n_funcname);
    case PG_QUERY__NODE__NODE_CREATE_DOMAIN_STMT:
        return creates(node, node.create_domain_stmt->domainname, node.create_domain_stmt->n_domainname);
    case PG_QUERY__NODE__NODE_CREATE_ENUM_STMT:
        return creates(node, node.create_enum_stmt->type_name, node.create_enum_stmt->n_type_name);
    case PG_QUERY__NODE__NODE_CREATE_RANGE_STMT:
        return creates(node, node.create_range_stmt->type_name, node.create_range_stmt->n_type_name);
    case PG_QUERY__NODE__NODE_DEFINE_STMT:
        return creates(node, node.define_stmt->defnames, node.define_stmt->n_defnames);
    case PG_QUERY__NODE__NODE_RULE_STMT:
    case PG_QUERY__NODE__NODE_CREATE_TRIG_STMT:
    case PG_QUERY__NODE__NODE_CREATE_POLICY_STMT:
    case PG_QUERY__NODE__NODE_ALTER_POLICY_STMT: return ddl(node, kNoEffect, Inside::stored);
    case PG_QUERY__NODE__NODE_DROP_STMT:
    case PG_QUERY__NODE__NODE_DROP_OWNED_STMT: set_kind(StatementKind::ddl); return add(kDdl | kMayUnpin);
    // Everything else the grammar has changes catalogs and nothing in the session: CREATE, ALTER, GRANT, COMMENT …
    default: return ddl(node);
    }
}

StatementVerb verb_of(const PgQuery__Node &node, StatementKind kind) {
    if (kind == StatementKind::ddl) {
        return StatementVerb::ddl;
    }
    switch (node.node_case) {
    case PG_QUERY__NODE__NODE_SELECT_STMT: return StatementVerb::select;
    case PG_QUERY__NODE__NODE_INSERT_STMT: return StatementVerb::insert;
    case PG_QUERY__NODE__NODE_UPDATE_STMT: return StatementVerb::update;
    case PG_QUERY__NODE__NODE_DELETE_STMT: return StatementVerb::delete_;
    default: return StatementVerb::other;
    }
}

// Whether a statement's outcome is the same whatever the settings are.
bool ignores_settings(StatementKind kind) {
    switch (kind) {
    case StatementKind::reset:
    case StatementKind::commit:
    case StatementKind::rollback:
    case StatementKind::listen:
    case StatementKind::unlisten:
    case StatementKind::notify:
    case StatementKind::deallocate: return true;
    default: return false;
    }
}

template <class Names> void sort_unique(Names &names) {
    std::ranges::sort(names);
    // Not std::ranges::unique: clang 14, which the fuzz targets are built with, cannot read libstdc++'s.
    names.erase(std::unique(names.begin(), names.end()), names.end());
    names.shrink_to_fit();
}

void tidy(Classification &what) {
    sort_unique(what.functions);
    sort_unique(what.relations);
    sort_unique(what.operators);
    sort_unique(what.types);
    sort_unique(what.builtins);
    sort_unique(what.attributes);
    if (what.functions.size() + what.relations.size() + what.operators.size() + what.types.size() +
                what.builtins.size() >
            kMostNames ||
        what.attributes.size() > kMostAttributes) {
        what.effects |= kOpaque | kSerialInsert | kNodeBound;
        for (auto *names : {&what.functions, &what.relations, &what.operators, &what.types, &what.builtins}) {
            *names = {};
        }
        what.attributes = {};
    }
    if (what.kind == StatementKind::read && (what.effects & kNotARead) != 0) {
        what.kind = StatementKind::write;
    }
}

Classification unknown() {
    Classification what;
    what.effects = kUnknownEffects;
    return what;
}

Classification classify_canonical(const CanonicalText &canonical) {
    if (canonical.too_long || canonical.text.size() > kLongestParsed || canonical.nesting > kDeepestParsed ||
        canonical.text.size() * canonical.nesting > kMostCopied) {
        return unknown();
    }
    const auto tree = ParseTree::parse(canonical.text);
    if (!tree) {
        return unknown();
    }
    Classification what;
    const std::span<PgQuery__RawStmt *const> statements(tree->root().stmts, tree->root().n_stmts);
    StatementClassifier classifier(what);
    what.only_queries = true;
    for (const PgQuery__RawStmt *raw : statements) {
        if (raw->stmt != nullptr) {
            const bool after_reset = (what.effects & kResets) != 0;
            classifier.statement(*raw->stmt);
            what.only_queries = what.only_queries && classifier.was_query();
            what.verb = verb_of(*raw->stmt, what.kind);
            if (after_reset && !ignores_settings(what.kind)) {
                what.effects |= kResetsInside;
            }
        }
    }
    if (statements.size() != 1) {
        what.kind = statements.empty() ? StatementKind::empty : StatementKind::multiple;
        what.name.clear();
        what.access = TransactionAccess::unspecified;
        what.isolation = TransactionIsolation::unspecified;
        what.verb = StatementVerb::other;
    }
    tidy(what);
    return what;
}

} // namespace

Classification classify_text(std::string_view sql, LexRules rules) {
    const auto canonical = canonical_text(sql, rules);
    Classification what = canonical ? classify_canonical(*canonical) : unknown();
    const HintValue value = routing_hint(sql);
    what.hint = value.hint;
    what.hint_node = value.node;
    return what;
}

} // namespace pgbalancer
