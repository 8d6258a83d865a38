// catalog_facts.h: what only one database's catalog can say about a statement.
//
// A statement's text does not show that a function it calls, a trigger it fires or a view it reads changes
// the session. The facts are names collected with one query on a server connection, and answer per Classification.
// Names are matched the cautious way: a name without schema in the statement matches that name in any schema, whatever
// the search_path says. Functions and operators must be known to be harmless; relations and types must be known to be
// harmful. Before they are loaded everything that is not certainly builtin counts as harmful.
//
// Names that are not all ASCII are one name to them: their bytes depend on the client's encoding.
//
// What they cannot know: what others change in the catalog after the load (read them again now and then, and after a
// kDdl of one's own), functions that are declared stable and do what volatile ones may, and values that procedural
// languages other than PL/pgSQL keep per session.
//
// One object per database, owned by a worker, single-threaded, no I/O: the worker runs the query and feeds the rows.
#pragma once

#include "sql/classification.h"

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>

namespace pgbalancer {

// The text of one simple Query outside a transaction: some SET LOCAL and a SELECT with rows (kind text, name text).
// Runs as any user under any search_path (every name is qualified), on PostgreSQL 13 to 17, on a standby too.
std::string_view catalog_facts_query();

class CatalogFacts {
  public:
    // `database` distinguishes the CatalogFacts objects of one worker; it goes into the stamp.
    explicit CatalogFacts(uint32_t database) : database_(database) {}

    // A load: begin, a row at a time, finish. What was known stays in force until finish(). A failed load is
    // ended by abandon().
    void begin() { loading_ = {}; }
    void add_row(std::string_view kind, std::string_view name);
    void finish();
    void abandon() { loading_ = {}; }
    // Back to answering as before the first load: DDL went through, and the facts have not been read again yet.
    void forget();

    bool loaded() const { return loaded_; }
    // Different after every change of what effects_of() may answer, and between databases.
    uint64_t stamp() const { return uint64_t{database_} << 32 | generation_ << 1 | (loaded_ ? 1 : 0); }

    // Effect bits to add to those of the Classification: kOpaque, kSerialInsert, kPinSession, kNodeBound, kVolatile,
    // kNow, kResetsInside. Of the last, what was known before forget() holds on: a session prepares for it, and a
    // function that was changed usually goes on doing it.
    [[nodiscard]] uint32_t effects_of(const Classification &what) const;
    // The settings that functions reset; "all" among them: any.
    const std::vector<std::string> &reset_settings() const { return names_.reset_settings; }
    // Whether a text that was not parsed, such as a block's, names a function that resets settings.
    bool names_resetting_function(std::string_view text) const;

  private:
    struct NameHash {
        using is_transparent = void;
        size_t operator()(std::string_view name) const { return std::hash<std::string_view>{}(name); }
    };
    template <class Value> using NameMap = std::unordered_map<std::string, Value, NameHash, std::equal_to<>>;
    struct RelationEffects {
        uint32_t read = 0;
        uint32_t write = 0;
    };
    struct Names {
        NameMap<uint32_t> functions;             // all of the users'; 0: harmless
        NameMap<uint32_t> operators;             // likewise
        NameMap<RelationEffects> relations;      // those that have effects
        NameMap<uint32_t> types;                 // likewise
        std::unordered_set<uint32_t> attributes; // hashes of opaque functions that can be written like columns
        std::vector<std::string> reset_settings; // lower case
        bool event_triggers = false;
        bool anything_opaque = false; // a cast or an operator class can be reached without being named
    };

    uint32_t known_effects(const Classification &what) const;

    uint32_t database_;
    uint32_t generation_ = 0; // of 31 bits
    bool loaded_ = false;
    Names names_;
    Names loading_;
};

} // namespace pgbalancer
