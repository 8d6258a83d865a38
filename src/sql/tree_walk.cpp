#include "sql/tree_walk.h"

#include "sql/attribute_hash.h"
#include "sql/builtin_names.h"

#include <cstddef>
#include <cstring>
#include <span>
#include <string>
#include <string_view>

namespace pgbalancer {

namespace {

// A name as the grammar has it: up to three parts, of which the last two matter.
struct DottedName {
    std::string_view schema; // empty: not given
    std::string_view name;

    bool may_be_builtin() const { return schema.empty() || schema == "pg_catalog"; }
    std::string text() const {
        return schema.empty() ? std::string(name) : std::string(schema) + '.' + std::string(name);
    }
};

std::string_view string_of(const PgQuery__Node *node) {
    return node != nullptr && node->node_case == PG_QUERY__NODE__NODE_STRING ? std::string_view(node->string->sval)
                                                                             : std::string_view();
}

DottedName dotted_name(PgQuery__Node *const *parts, size_t count) {
    DottedName result;
    if (count >= 1) {
        result.name = string_of(parts[count - 1]);
    }
    if (count >= 2) {
        result.schema = string_of(parts[count - 2]);
    }
    return result;
}

// pg_temp, or a session's by its number: pg_temp_3.
bool is_temp_schema(std::string_view name) {
    if (!name.starts_with("pg_temp")) {
        return false;
    }
    name.remove_prefix(strlen("pg_temp"));
    return name.empty() || (name.size() > 1 && name.front() == '_' &&
                            name.find_first_not_of("0123456789", 1) == std::string_view::npos);
}

class Collector {
  public:
    explicit Collector(Classification &what) : what_(what) {}

    void visit(const ProtobufCMessage &message) {
        const ProtobufCMessageDescriptor *type = message.descriptor;
        if (type == &pg_query__node__descriptor) {
            // A union of pointers to messages; asking for each of its hundreds of members would take most of the time.
            const auto &node = as<PgQuery__Node>(message);
            if (node.node_case != PG_QUERY__NODE__NODE__NOT_SET && node.alias != nullptr) {
                visit(*reinterpret_cast<const ProtobufCMessage *>(node.alias));
            }
        } else if (type == &pg_query__a__const__descriptor) {
            return;
        } else if (type == &pg_query__string__descriptor) {
            on_string(as<PgQuery__String>(message));
        } else if (type == &pg_query__column_ref__descriptor) {
            on_column_ref(as<PgQuery__ColumnRef>(message));
        } else if (type == &pg_query__func_call__descriptor) {
            on_call(as<PgQuery__FuncCall>(message));
            descend(message);
        } else if (type == &pg_query__a__expr__descriptor) {
            on_expression(as<PgQuery__AExpr>(message));
            descend(message);
        } else if (type == &pg_query__range_var__descriptor) {
            on_relation(as<PgQuery__RangeVar>(message));
            descend(message);
        } else if (type == &pg_query__type_name__descriptor) {
            on_type(as<PgQuery__TypeName>(message));
            descend(message);
        } else {
            on_rarer(message);
            descend(message);
        }
    }

  private:
    template <class T> static const T &as(const ProtobufCMessage &message) {
        return reinterpret_cast<const T &>(message);
    }

    // Every message below, whatever its type.
    void descend(const ProtobufCMessage &message) {
        const auto *base = reinterpret_cast<const std::byte *>(&message);
        const ProtobufCMessageDescriptor &type = *message.descriptor;
        for (const ProtobufCFieldDescriptor &field : std::span(type.fields, type.n_fields)) {
            if (field.type != PROTOBUF_C_TYPE_MESSAGE) {
                continue;
            }
            if (field.label == PROTOBUF_C_LABEL_REPEATED) {
                size_t count = 0;
                memcpy(&count, base + field.quantifier_offset, sizeof count);
                const ProtobufCMessage *const *items = nullptr;
                memcpy(&items, base + field.offset, sizeof(void *));
                for (const ProtobufCMessage *item : std::span(items, count)) {
                    visit(*item);
                }
                continue;
            }
            if ((field.flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0) {
                uint32_t chosen = 0;
                memcpy(&chosen, base + field.quantifier_offset, sizeof chosen);
                if (chosen != field.id) {
                    continue;
                }
            }
            const ProtobufCMessage *item = nullptr;
            memcpy(&item, base + field.offset, sizeof(void *));
            if (item != nullptr) {
                visit(*item);
            }
        }
    }

    void on_rarer(const ProtobufCMessage &message) {
        const ProtobufCMessageDescriptor *type = message.descriptor;
        if (type == &pg_query__insert_stmt__descriptor || type == &pg_query__update_stmt__descriptor ||
            type == &pg_query__delete_stmt__descriptor || type == &pg_query__merge_stmt__descriptor) {
            what_.writes_relations = true;
            if (type == &pg_query__update_stmt__descriptor) {
                on_update(as<PgQuery__UpdateStmt>(message));
            }
        } else if (type == &pg_query__locking_clause__descriptor) {
            what_.effects |= kLocks;
        } else if (type == &pg_query__sqlvalue_function__descriptor) {
            const PgQuery__SQLValueFunctionOp op = as<PgQuery__SQLValueFunction>(message).op;
            if (op <= PG_QUERY__SQLVALUE_FUNCTION_OP__SVFOP_LOCALTIMESTAMP_N) {
                what_.effects |= kNow;
            }
        } else if (type == &pg_query__sort_by__descriptor) {
            const auto &sort = as<PgQuery__SortBy>(message);
            on_operator(sort.use_op, sort.n_use_op);
        } else if (type == &pg_query__sub_link__descriptor) {
            const auto &link = as<PgQuery__SubLink>(message);
            on_operator(link.oper_name, link.n_oper_name);
        } else if (type == &pg_query__range_table_sample__descriptor) {
            const auto &sample = as<PgQuery__RangeTableSample>(message);
            const DottedName method = dotted_name(sample.method, sample.n_method);
            if (method.name != "bernoulli" && method.name != "system") {
                on_function(method);
            }
        } else if (type == &pg_query__a__indirection__descriptor) {
            const auto &indirection = as<PgQuery__AIndirection>(message);
            for (const PgQuery__Node *step : std::span(indirection.indirection, indirection.n_indirection)) {
                on_attribute(string_of(step));
            }
        }
    }

    // The view's rule makes it a SET, or a RESET.
    void on_update(const PgQuery__UpdateStmt &update) {
        if (update.relation == nullptr || strcmp(update.relation->relname, "pg_settings") != 0) {
            return;
        }
        what_.effects |= kSetsSetting | kOpaque;
        for (const PgQuery__Node *target : std::span(update.target_list, update.n_target_list)) {
            if (target->node_case == PG_QUERY__NODE__NODE_RES_TARGET && is_null(target->res_target->val)) {
                what_.effects |= kResetsInside;
            }
        }
    }
    // The key word, or DEFAULT.
    static bool is_null(const PgQuery__Node *node) {
        return node != nullptr && (node->node_case == PG_QUERY__NODE__NODE_SET_TO_DEFAULT ||
                                   (node->node_case == PG_QUERY__NODE__NODE_A_CONST && node->a_const->isnull));
    }
    // Identifiers that are no names of one of the kinds below: schemas, objects of DDL, columns.
    void on_string(const PgQuery__String &string) {
        if (is_temp_schema(string.sval)) {
            what_.effects |= kPinTempObject;
        }
    }
    void on_column_ref(const PgQuery__ColumnRef &column) {
        if (column.n_fields >= 2) {
            on_attribute(string_of(column.fields[column.n_fields - 1]));
        }
    }
    void on_attribute(std::string_view name) {
        if (!name.empty()) {
            what_.attributes.push_back(attribute_hash(name));
        }
    }
    void on_call(const PgQuery__FuncCall &call) {
        const DottedName function = dotted_name(call.funcname, call.n_funcname);
        if (function.name == "set_config" && function.may_be_builtin()) {
            // Without a value it resets.
            what_.effects |= call.n_args == 3 && is_null(without_casts(call.args[1])) ? kResetsInside : kNoEffect;
            if (is_transaction_local(call)) {
                what_.effects |= kVolatile;
                what_.builtins.emplace_back(function.name);
                return;
            }
        }
        on_function(function);
    }
    static const PgQuery__Node *without_casts(const PgQuery__Node *node) {
        while (node != nullptr && node->node_case == PG_QUERY__NODE__NODE_TYPE_CAST) {
            node = node->type_cast->arg;
        }
        return node;
    }
    // set_config(name, value, true), the last being the key word: undone at the transaction's end.
    static bool is_transaction_local(const PgQuery__FuncCall &set_config) {
        if (set_config.n_args != 3) {
            return false;
        }
        const PgQuery__Node *last = set_config.args[2];
        return last->node_case == PG_QUERY__NODE__NODE_A_CONST &&
               last->a_const->val_case == PG_QUERY__A__CONST__VAL_BOOLVAL && last->a_const->boolval->boolval;
    }
    void on_function(const DottedName &function) {
        if (function.name.empty()) {
            return;
        }
        if (function.may_be_builtin()) {
            if (const auto effects = builtin_function_effects(function.name)) {
                what_.effects |= *effects;
                if (function.schema.empty()) {
                    what_.builtins.emplace_back(function.name);
                }
                return;
            }
        }
        what_.functions.push_back(function.text());
    }
    void on_expression(const PgQuery__AExpr &expression) {
        switch (expression.kind) {
        case PG_QUERY__A__EXPR__KIND__AEXPR_BETWEEN:
        case PG_QUERY__A__EXPR__KIND__AEXPR_NOT_BETWEEN:
        case PG_QUERY__A__EXPR__KIND__AEXPR_BETWEEN_SYM:
        case PG_QUERY__A__EXPR__KIND__AEXPR_NOT_BETWEEN_SYM: return; // the name is a key word; >= and <= are meant
        default: on_operator(expression.name, expression.n_name);
        }
    }
    void on_operator(PgQuery__Node *const *parts, size_t count) {
        const DottedName op = dotted_name(parts, count);
        if (!op.name.empty() && !(op.may_be_builtin() && is_builtin_operator(op.name))) {
            what_.operators.push_back(op.text());
        }
    }
    void on_type(const PgQuery__TypeName &type) {
        const DottedName name = dotted_name(type.names, type.n_names);
        // x.y%TYPE names a column, whose type only the catalog knows; a function's declaration, nothing that runs.
        if (name.name.empty() || type.pct_type || (name.may_be_builtin() && is_builtin_type(name.name))) {
            return;
        }
        what_.types.push_back(name.text());
    }
    void on_relation(const PgQuery__RangeVar &relation) {
        const DottedName name{relation.schemaname, relation.relname};
        if (is_temp_schema(name.schema) || strcmp(relation.relpersistence, "t") == 0) {
            what_.effects |= kPinTempObject;
        }
        if (name.may_be_builtin()) {
            what_.effects |= builtin_relation_effects(name.name);
        }
        what_.relations.push_back(name.text());
    }

    Classification &what_;
};

} // namespace

void collect_names(const ProtobufCMessage &tree, Classification &what) { Collector(what).visit(tree); }

} // namespace pgbalancer
