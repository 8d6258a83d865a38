#include "child/prepared_statement.h"

#include "child/wire.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <functional>

namespace pgbalancer {

namespace {

uint64_t hash_of(std::string_view text, std::string_view types, std::string_view settings) {
    uint64_t hash = std::hash<std::string_view>{}(text);
    hash = hash * 0xff51afd7ed558ccd ^ std::hash<std::string_view>{}(types);
    return hash * 0xff51afd7ed558ccd ^ std::hash<std::string_view>{}(settings);
}

bool by_name(const NamedStatement &statement, std::string_view name) { return statement.name < name; }

} // namespace

void PreparedStatementRef::forget() { statement_->table_->forget(statement_); }

PreparedStatementTable::~PreparedStatementTable() {
    recent_.clear();
    if (!statements_.empty()) {
        abort(); // a reference outlived the worker's table
    }
}

void PreparedStatementTable::forget(PreparedStatement *statement) {
    const auto range = statements_.equal_range(statement->hash_);
    for (auto at = range.first; at != range.second; ++at) {
        if (at->second == statement) {
            statements_.erase(at);
            break;
        }
    }
    delete statement;
}

bool PreparedStatementTable::is_same(const PreparedStatement &known, std::string_view text, std::string_view types,
                                     const Context &context) {
    return known.text_ == text && known.types_ == types && known.rules_ == context.rules &&
           known.settings_ == context.settings;
}

void PreparedStatementTable::renew_version(PreparedStatement &statement, const Context &context) {
    if (statement.catalog_generation_ != context.catalog_generation ||
        context.now_ms - statement.versioned_ms_ >= kVersionMs) {
        statement.version_++;
        statement.catalog_generation_ = context.catalog_generation;
        statement.versioned_ms_ = context.now_ms;
    }
}

PreparedStatementRef PreparedStatementTable::intern(std::string_view text, std::string_view types,
                                                    const Context &context, StatementCache &cache) {
    if (context.likely && is_same(*context.likely, text, types, context)) {
        renew_version(*context.likely.statement_, context);
        return context.likely;
    }
    const uint64_t hash = hash_of(text, types, context.settings);
    const auto range = statements_.equal_range(hash);
    for (auto at = range.first; at != range.second; ++at) {
        PreparedStatement &known = *at->second;
        if (is_same(known, text, types, context)) {
            renew_version(known, context);
            return PreparedStatementRef(&known);
        }
    }
    auto *statement = new PreparedStatement;
    statement->text_ = text;
    statement->types_ = types;
    statement->settings_ = context.settings;
    statement->rules_ = context.rules;
    statement->statement_ = cache.classify(text, context.rules);
    statement->hash_ = hash;
    statement->table_ = this;
    statement->catalog_generation_ = context.catalog_generation;
    statement->versioned_ms_ = context.now_ms;
    statement->id_ = ++last_id_;
    char number[20];
    snprintf(number, sizeof number, "%llx", static_cast<unsigned long long>(statement->id_));
    statement->server_name_ = std::string(kServerStatementPrefix) + number;
    statements_.emplace(hash, statement);
    PreparedStatementRef made(statement);
    if (recent_.size() < kRecent) {
        recent_.push_back(made);
    } else {
        recent_[next_recent_] = made;
        next_recent_ = (next_recent_ + 1) % kRecent;
    }
    return made;
}

NamedStatement *NamedStatements::find(std::string_view name) {
    const auto at = std::lower_bound(statements_.begin(), statements_.end(), name, by_name);
    return at != statements_.end() && at->name == name ? &*at : nullptr;
}

void NamedStatements::define(NamedStatement statement) {
    const auto at = std::lower_bound(statements_.begin(), statements_.end(), statement.name, by_name);
    if (at != statements_.end() && at->name == statement.name) {
        *at = std::move(statement);
        return;
    }
    if (statements_.capacity() == statements_.size() && statements_.size() < 4) {
        statements_.reserve(statements_.size() + 1); // most sessions have few, and there are many sessions
        statements_.insert(std::lower_bound(statements_.begin(), statements_.end(), statement.name, by_name),
                           std::move(statement));
        return;
    }
    statements_.insert(at, std::move(statement));
}

void NamedStatements::remove(std::string_view name) {
    const auto at = std::lower_bound(statements_.begin(), statements_.end(), name, by_name);
    if (at != statements_.end() && at->name == name) {
        statements_.erase(at);
    }
}

const ServerStatements::Prepared *ServerStatements::touch(const PreparedStatement &statement) {
    if (newest_ != nullptr && newest_->prepared.statement->id() == statement.id()) {
        return &newest_->prepared;
    }
    const auto at = nodes_.find(statement.id());
    if (at == nodes_.end()) {
        return nullptr;
    }
    unlink(at->second);
    push_newest(at->second);
    return &at->second.prepared;
}

void ServerStatements::decide(const PreparedStatement &statement, uint32_t note) {
    const auto at = nodes_.find(statement.id());
    if (at != nodes_.end() && at->second.prepared.undecided == note) {
        at->second.prepared.undecided = 0;
    }
}

void ServerStatements::add(PreparedStatementRef statement, uint32_t version, uint32_t undecided, uint32_t batch) {
    const uint64_t id = statement->id();
    Node &node = nodes_[id];
    if (node.prepared.statement) {
        unlink(node);
    }
    node.prepared = {
        .statement = std::move(statement), .version = version, .undecided = undecided, .batch = batch, .shape = 0};
    push_newest(node);
}

void ServerStatements::set_shape(const PreparedStatement &statement, uint64_t shape) {
    const auto at = nodes_.find(statement.id());
    if (at != nodes_.end()) {
        at->second.prepared.shape = shape;
    }
}

void ServerStatements::remove(const PreparedStatement &statement) {
    const auto at = nodes_.find(statement.id());
    if (at != nodes_.end()) {
        unlink(at->second);
        nodes_.erase(at);
    }
}

ServerStatements::Prepared ServerStatements::evict() {
    if (nodes_.size() < limit_ || oldest_ == nullptr) {
        return {};
    }
    Prepared prepared = oldest_->prepared;
    remove(*prepared.statement);
    return prepared;
}

ServerStatements::Prepared ServerStatements::take_any() {
    if (oldest_ == nullptr) {
        return {};
    }
    Prepared prepared = oldest_->prepared;
    remove(*prepared.statement);
    return prepared;
}

void ServerStatements::clear() {
    nodes_.clear();
    newest_ = oldest_ = nullptr;
}

void ServerStatements::unlink(Node &node) {
    (node.newer != nullptr ? node.newer->older : newest_) = node.older;
    (node.older != nullptr ? node.older->newer : oldest_) = node.newer;
    node.newer = node.older = nullptr;
}

void ServerStatements::push_newest(Node &node) {
    node.older = newest_;
    node.newer = nullptr;
    (newest_ != nullptr ? newest_->newer : oldest_) = &node;
    newest_ = &node;
}

void ShapeHash::mix(uint64_t v) {
    hash_ = (hash_ ^ v) * 0xff51afd7ed558ccd;
    hash_ ^= hash_ >> 29;
}

bool ShapeHash::add_parameters(std::string_view body) {
    FieldReader fields(body);
    const uint16_t count = fields.u16();
    mix(count);
    for (uint16_t i = 0; i < count && fields.ok(); i++) {
        mix(fields.u32());
    }
    return fields.ok();
}

bool ShapeHash::add_columns(std::string_view body) {
    FieldReader fields(body);
    const uint16_t count = fields.u16();
    mix(count);
    for (uint16_t i = 0; i < count && fields.ok(); i++) {
        mix(std::hash<std::string_view>{}(fields.string()));
        fields.u32();      // table
        fields.u16();      // attribute number
        mix(fields.u32()); // type
        fields.u16();      // type's length
        mix(fields.u32()); // modifier
        fields.u16();      // format
    }
    return fields.ok();
}

} // namespace pgbalancer
