// model_session.h: what a PostgreSQL session is as far as pooling could spoil it: transaction, settings, channels,
// temporary tables, cursors, prepared statements, locks, sequences.
//
// Knows a few statements by their words and answers anything else with its own text. What a client sees of one session
// depends on that session alone: sessions that share connections must therefore look the same as sessions that do not.
#pragma once

#include "sql/catalog_facts.h"
#include "sql/statement_cache.h"

#include <algorithm>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace pgbalancer::test {

struct Outcome {
    std::string sqlstate; // set: it failed
    std::string message;
    std::string tag; // of CommandComplete; empty: EmptyQueryResponse
    std::vector<std::vector<std::string>> rows;
    bool has_rows = false;
    char copy = 0; // 'G' or 'H'
};

class ModelSession {
  public:
    struct Prepared {
        std::string text;
        bool from_sql = false;
    };
    std::map<std::string, Prepared> statements;
    std::map<std::string, std::string> startup; // settings that RESET restores

    char status() const { return status_; }

    static StatementRef classify(std::string_view text) {
        static const auto cache = std::make_unique<StatementCache>(1024);
        return cache->classify(text, {});
    }
    // Words without quotes and punctuation, lower-cased.
    static std::vector<std::string> words_of(std::string_view text) {
        std::vector<std::string> words(1);
        for (char c : text) {
            if (c == '"') {
                continue;
            }
            if (std::string_view(" \t\r\n\f\v(),;'=").find(c) == std::string_view::npos) {
                words.back().push_back(c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c);
            } else if (!words.back().empty()) {
                words.emplace_back();
            }
        }
        if (words.back().empty()) {
            words.pop_back();
        }
        return words;
    }
    static bool is_probe(std::string_view text) { return text.starts_with("SELECT 'listen',"); }
    static bool leaves_transaction(std::string_view text) {
        const StatementKind kind = classify(text)->what().kind;
        return kind == StatementKind::commit || kind == StatementKind::rollback || is_rollback_to(text, kind);
    }
    // EXECUTE is taken for one that does.
    static bool returns_rows(std::string_view text) {
        const auto words = words_of(text);
        static const std::set<std::string, std::less<>> kWords = {"select", "show",  "table",   "values",
                                                                  "with",   "fetch", "explain", "execute"};
        return !words.empty() && kWords.contains(words[0]);
    }
    const std::string &setting(const std::string &name) const {
        static const std::string kNone, kDefault = "default";
        for (const auto *where : {&now_.local, &now_.settings, &startup}) {
            if (const auto at = where->find(name); at != where->end()) {
                return at->second;
            }
        }
        return name == "application_name" || name.find('.') != std::string::npos ? kNone : kDefault;
    }

    // One statement. A failure has its consequences for the transaction.
    Outcome run(std::string_view text, int depth = 0) {
        if (status_ == 'I' && saved_.empty()) {
            saved_.push_back({{}, now_}); // an implicit transaction
        }
        Outcome outcome = status_ == 'E' && !leaves_transaction(text) && !is_empty(text)
                              ? failure("25P02", "current transaction is aborted, commands ignored until end of "
                                                 "transaction block")
                              : execute(text, depth);
        if (!outcome.sqlstate.empty()) {
            failed();
        }
        return outcome;
    }
    void failed() {
        if (status_ == 'T') {
            status_ = 'E';
        } else if (status_ == 'I' && !saved_.empty()) {
            now_ = saved_[0].state;
            saved_.clear();
        }
    }
    // The end of a Query or of a batch: of the implicit transaction, if there is no other.
    void settle() {
        if (status_ == 'I') {
            end_transaction();
        }
    }
    bool in_transaction_block() const { return status_ != 'I'; }

  private:
    struct State { // what a rollback takes back
        std::map<std::string, std::string> settings;
        std::map<std::string, std::string> local;
        std::set<std::string> channels;
        std::set<std::string> temporary;
        std::map<std::string, bool> cursors; // WITH HOLD
    };
    struct Saved {
        std::string name;
        State state;
    };

    static Outcome failure(std::string sqlstate, std::string message) {
        Outcome out;
        out.sqlstate = std::move(sqlstate);
        out.message = std::move(message);
        return out;
    }
    static Outcome done(std::string tag) {
        Outcome out;
        out.tag = std::move(tag);
        return out;
    }
    static Outcome value(std::string text) {
        Outcome out = done("SELECT 1");
        out.has_rows = true;
        out.rows.push_back({std::move(text)});
        return out;
    }
    static bool is_empty(std::string_view text) { return classify(text)->what().kind == StatementKind::empty; }
    static bool is_rollback_to(std::string_view text, StatementKind kind) {
        return kind == StatementKind::savepoint && words_of(text).at(0) == "rollback";
    }

    void end_transaction() {
        saved_.clear();
        now_.local.clear();
        std::erase_if(now_.cursors, [](const auto &cursor) { return !cursor.second; });
    }

    Outcome execute(std::string_view text, int depth) {
        if (text == catalog_facts_query()) {
            Outcome none = done("SELECT 0");
            none.has_rows = true;
            return none;
        }
        if (is_probe(text)) {
            return probe(text);
        }
        const StatementRef statement = classify(text);
        const auto words = words_of(text);
        if (std::find(words.begin(), words.end(), "fail") != words.end()) {
            return failure("22012", "division by zero");
        }
        switch (statement->what().kind) {
        case StatementKind::unknown: return failure("42601", "syntax error");
        case StatementKind::empty: return {};
        case StatementKind::begin: return begin(words);
        case StatementKind::commit:
        case StatementKind::rollback: return end(statement->what());
        case StatementKind::savepoint: return savepoint(words);
        case StatementKind::prepare_transaction: status_ = 'I'; return done("PREPARE TRANSACTION");
        case StatementKind::set:
        case StatementKind::set_local: return set(words, statement->what().kind == StatementKind::set_local);
        case StatementKind::reset: return reset(words);
        case StatementKind::discard: return discard(words);
        case StatementKind::copy_from:
        case StatementKind::copy_to: {
            Outcome out = done("COPY 1");
            out.copy = statement->what().kind == StatementKind::copy_from ? 'G' : 'H';
            return out;
        }
        case StatementKind::execute: {
            const auto at = statements.find(word(words, 1));
            if (at == statements.end() || depth > 4) {
                return failure("26000", "prepared statement \"" + word(words, 1) + "\" does not exist");
            }
            return execute(std::string(at->second.text), depth + 1);
        }
        default: return by_words(text, words);
        }
    }

    static std::string word(const std::vector<std::string> &words, size_t i) {
        return i < words.size() ? words[i] : std::string();
    }

    Outcome begin(const std::vector<std::string> &words) {
        status_ = 'T';
        return done(words[0] == "start" ? "START TRANSACTION" : "BEGIN");
    }
    Outcome end(const Classification &what) {
        const bool chain = (what.effects & kChain) != 0;
        const bool commits = what.kind == StatementKind::commit && status_ != 'E';
        if (status_ == 'I' && chain) {
            return failure("25P01", "COMMIT AND CHAIN can only be used in transaction blocks");
        }
        if (!commits && !saved_.empty()) {
            now_ = saved_[0].state;
        }
        end_transaction();
        status_ = chain ? 'T' : 'I';
        saved_.push_back({{}, now_});
        return done(commits ? "COMMIT" : "ROLLBACK");
    }
    Outcome savepoint(const std::vector<std::string> &words) {
        const std::string &name = words.back();
        if (status_ == 'I') {
            return failure("25P01", words[0] + " can only be used in transaction blocks");
        }
        if (words[0] == "savepoint") {
            saved_.push_back({name, now_});
            return done("SAVEPOINT");
        }
        for (size_t i = saved_.size(); i-- > 1;) {
            if (saved_[i].name != name) {
                continue;
            }
            if (words[0] == "rollback") {
                now_ = saved_[i].state;
                saved_.resize(i + 1);
                status_ = 'T';
                return done("ROLLBACK");
            }
            saved_.resize(i);
            return done("RELEASE");
        }
        return failure("3B001", "savepoint does not exist");
    }

    Outcome set(std::vector<std::string> words, bool local) {
        std::erase_if(words, [](const std::string &w) { return w == "session" || w == "local" || w == "to"; });
        const std::string name = word(words, 1);
        const std::string to = word(words, 2);
        if (to == "bad") {
            return failure("22023", "invalid value for parameter \"" + name + "\"");
        }
        assign(name, to, local);
        return done("SET");
    }
    void assign(const std::string &name, const std::string &to, bool local) {
        if (!local) {
            now_.local.erase(name);
            now_.settings[name] = to;
        } else {
            now_.local[name] = to;
        }
    }
    Outcome reset(const std::vector<std::string> &words) {
        const std::string name =
            words[0] == "set" ? word(words, words.size() > 1 && words[1] == "session" ? 2 : 1) : word(words, 1);
        if (name == "all") {
            std::erase_if(now_.settings, [](const auto &entry) { return entry.first != "role"; });
            now_.local.clear();
        } else {
            now_.settings.erase(name);
            now_.local.erase(name);
        }
        return done("RESET");
    }
    Outcome discard(const std::vector<std::string> &words) {
        const std::string what = word(words, 1);
        if (what == "all") {
            if (status_ != 'I') {
                return failure("25001", "DISCARD ALL cannot run inside a transaction block");
            }
            now_ = {};
            deallocate_all();
            locks_.clear();
            saved_.clear();
            saved_.push_back({{}, now_});
        }
        if (what == "temp" || what == "temporary") {
            now_.temporary.clear();
        }
        if (what == "sequences" || what == "all") {
            sequence_moved_ = false;
        }
        return done(what == "all" ? "DISCARD ALL" : "DISCARD");
    }

    void deallocate_all() {
        std::erase_if(statements, [](const auto &statement) { return !statement.first.empty(); });
    }

    Outcome by_words(std::string_view text, const std::vector<std::string> &words) {
        const std::string first = word(words, 0);
        const std::string second = word(words, 1);
        if (first == "select") {
            return select(text, words);
        }
        if (first == "show") {
            return value(setting(second));
        }
        if (first == "table") {
            return now_.temporary.contains(second) ? value("temporary")
                                                   : failure("42P01", "relation \"" + second + "\" does not exist");
        }
        if (first == "listen") {
            now_.channels.insert(second);
            return done("LISTEN");
        }
        if (first == "unlisten") {
            if (second == "*") {
                now_.channels.clear();
            }
            now_.channels.erase(second);
            return done("UNLISTEN");
        }
        if (first == "create" && second == "temp") {
            return now_.temporary.insert(word(words, 3)).second ? done("CREATE TABLE")
                                                                : failure("42P07", "relation already exists");
        }
        if (first == "drop") {
            return now_.temporary.erase(word(words, 2)) != 0 ? done("DROP TABLE")
                                                             : failure("42P01", "table does not exist");
        }
        if (first == "declare") {
            const bool hold = std::find(words.begin(), words.end(), "hold") != words.end();
            if (status_ == 'I' && !hold) {
                return failure("25P01", "DECLARE CURSOR can only be used in transaction blocks");
            }
            return now_.cursors.emplace(second, hold).second ? done("DECLARE CURSOR")
                                                             : failure("42P03", "cursor already exists");
        }
        if (first == "fetch" || first == "close") {
            const bool found = now_.cursors.contains(words.back());
            if (!found) {
                return failure("34000", "cursor does not exist");
            }
            if (first == "close") {
                now_.cursors.erase(words.back());
                return done("CLOSE CURSOR");
            }
            return value("fetched");
        }
        if (first == "prepare") {
            const size_t as = text.find(" AS ");
            if (as == std::string_view::npos || statements.contains(second)) {
                return failure("42P05", "prepared statement \"" + second + "\" already exists");
            }
            statements[second] = {std::string(text.substr(as + 4)), true};
            return done("PREPARE");
        }
        if (first == "deallocate") {
            if (second == "all") {
                deallocate_all();
                return done("DEALLOCATE ALL");
            }
            return statements.erase(second) != 0
                       ? done("DEALLOCATE")
                       : failure("26000", "prepared statement \"" + second + "\" does not exist");
        }
        return returns_rows(text) ? value(std::string(text)) : done("OK");
    }

    Outcome select(std::string_view text, const std::vector<std::string> &words) {
        const std::string function = word(words, 1);
        const std::string argument = word(words, 2);
        if (function.ends_with("set_config")) {
            if (word(words, 3) == "bad") {
                return failure("22023", "invalid value for parameter \"" + argument + "\"");
            }
            assign(argument, word(words, 3), words.back() == "true");
            return value(word(words, 3));
        }
        if (function == "current_setting") {
            return value(setting(argument));
        }
        if (function == "nextval") {
            sequence_moved_ = true;
            return value("1");
        }
        if (function == "currval") {
            return sequence_moved_ ? value("1")
                                   : failure("55000", "currval of sequence is not yet defined in this session");
        }
        if (function == "pg_advisory_lock") {
            locks_.insert(argument);
            return value("");
        }
        if (function == "pg_advisory_unlock") {
            return value(locks_.erase(argument) != 0 ? "t" : "f");
        }
        if (function == "pg_listening_channels") {
            std::string all;
            for (const auto &channel : now_.channels) {
                all += channel + " ";
            }
            return value(all);
        }
        // Functions of the users', which do things unseen.
        if (function == "sets_something") {
            assign("work_mem", "unseen", false);
        } else if (function == "listens") {
            now_.channels.insert("unseen");
        } else if (function == "makes_temporary") {
            now_.temporary.insert("unseen");
        } else if (function == "locks") {
            locks_.insert("unseen");
        }
        return value(std::string(text));
    }

    Outcome probe(std::string_view query) const {
        Outcome out = done("SELECT 0");
        out.has_rows = true;
        const auto say = [&out](bool holds, const char *kind) {
            if (holds) {
                out.rows.push_back({kind, "", ""});
            }
        };
        say(!now_.channels.empty(), "listen");
        say(!now_.temporary.empty(), "temp");
        say(std::any_of(now_.cursors.begin(), now_.cursors.end(), [](const auto &c) { return c.second; }), "cursor");
        say(std::any_of(statements.begin(), statements.end(), [](const auto &s) { return s.second.from_sql; }),
            "prepared");
        say(!locks_.empty(), "advisory");
        const auto role = now_.settings.find("role");
        say(role != now_.settings.end() && role->second != "none", "role");
        for (const auto &[name, text] : now_.settings) {
            const bool custom = name.find('.') != std::string::npos;
            if (name != "role" &&
                (!custom || (query.find("'" + name + "'") != std::string_view::npos && !text.empty()))) {
                out.rows.push_back({"setting", name, text});
            }
        }
        return out;
    }

    State now_;
    char status_ = 'I';        // as in ReadyForQuery
    std::vector<Saved> saved_; // at the start of the transaction, then the savepoints
    std::set<std::string> locks_;
    bool sequence_moved_ = false;
};

} // namespace pgbalancer::test
