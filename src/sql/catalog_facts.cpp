#include "sql/catalog_facts.h"

#include "sql/attribute_hash.h"

#include <algorithm>

namespace pgbalancer {

namespace {

constexpr uint32_t kHarm = kOpaque | kVolatile;

// Of a function, operator or type that the catalog query knows, by the letters behind its kind.
uint32_t call_effects(std::string_view letters) {
    const uint32_t resets = letters.ends_with('x') ? kResetsInside : kNoEffect;
    switch (letters.empty() ? '\0' : letters.front()) {
    case 'h': return resets;        // harmless
    case 'n': return resets | kNow; // stable
    case 'b': return resets | kNodeBound;
    case 'v': return resets | kVolatile; // volatile, but known to leave no trace in the session
    case 'p': return resets | kPinSession | kVolatile;
    default: return resets | kHarm;
    }
}

// Under what a name is kept and looked up.
std::string_view key_of(std::string_view name) {
    const bool ascii = std::ranges::all_of(name, [](char c) { return static_cast<unsigned char>(c) < 0x80; });
    return ascii ? name : "\x80";
}

bool is_system_relation(std::string_view name) {
    return name.starts_with("pg_catalog.") || name.starts_with("information_schema.");
}

} // namespace

// Kinds are a name space, a colon and letters, as the query says.
void CatalogFacts::add_row(std::string_view kind, std::string_view name) {
    const size_t colon = kind.find(':');
    const std::string_view space = kind.substr(0, colon);
    const std::string_view letters = colon == std::string_view::npos ? std::string_view() : kind.substr(colon + 1);
    const std::string key(key_of(name));
    if (space == "function") {
        loading_.functions[key] |= call_effects(letters);
    } else if (space == "operator") {
        loading_.operators[key] |= call_effects(letters);
    } else if (space == "type") {
        loading_.types[key] |= call_effects(letters);
    } else if (space == "attribute") {
        loading_.attributes.insert(attribute_hash(name));
    } else if (space == "relation") {
        RelationEffects &effects = loading_.relations[key];
        for (const char letter : letters) {
            switch (letter) {
            case 'p': effects.read |= kNodeBound; break;
            case 'n': effects.read |= kNow; break;
            case 'r': effects.read |= kHarm; break;
            case 'R': effects.read |= kHarm | kResetsInside; break;
            case 's': effects.write |= kSerialInsert; break;
            case 't': effects.read |= kSerialInsert | kVolatile; break;
            case 'w': effects.write |= kHarm; break;
            case 'W': effects.write |= kHarm | kResetsInside; break;
            default: break;
            }
        }
    } else if (space == "reset_setting") {
        loading_.reset_settings.emplace_back(name == "time" ? "timezone" : name); // RESET TIME ZONE
    } else if (space == "event_trigger") {
        loading_.event_triggers = true;
    } else if (space == "anything") {
        loading_.anything_opaque = true;
    }
}

void CatalogFacts::finish() {
    names_ = std::move(loading_);
    loading_ = {};
    loaded_ = true;
    generation_ = (generation_ + 1) & 0x7fffffff;
}

void CatalogFacts::forget() { loaded_ = false; }

uint32_t CatalogFacts::effects_of(const Classification &what) const {
    if (!loaded_) {
        const bool user_relation = !std::ranges::all_of(what.relations, is_system_relation);
        // A user's overload may be meant by a builtin's name, too.
        const bool unknown = user_relation || !what.functions.empty() || !what.builtins.empty() ||
                             !what.operators.empty() || !what.types.empty() || (what.effects & kDdl) != 0;
        return (unknown ? kHarm : uint32_t{kNoEffect}) |
               (user_relation && what.writes_relations ? kSerialInsert : kNoEffect) |
               (names_.reset_settings.empty() ? kNoEffect : known_effects(what) & kResetsInside);
    }
    return known_effects(what);
}

bool CatalogFacts::names_resetting_function(std::string_view text) const {
    if (names_.reset_settings.empty()) {
        return false;
    }
    std::string word;
    for (size_t i = 0; i <= text.size(); i++) {
        const char c = i < text.size() ? text[i] : '\0';
        if (c >= 'A' && c <= 'Z') {
            word.push_back(static_cast<char>(c | 0x20));
        } else if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || (c & 0x80) != 0) {
            word.push_back(c);
        } else if (!word.empty()) {
            const auto at = names_.functions.find(key_of(word));
            if (at != names_.functions.end() && (at->second & kResetsInside) != 0) {
                return true;
            }
            word.clear();
        }
    }
    return false;
}

uint32_t CatalogFacts::known_effects(const Classification &what) const {
    uint32_t effects = kNoEffect;
    const auto must_be_known = [&effects](const auto &map, const std::vector<std::string> &names) {
        for (const std::string &name : names) {
            const auto at = map.find(key_of(name));
            effects |= at == map.end() ? kHarm : at->second;
        }
    };
    const auto may_be_known = [&effects](const auto &map, const std::vector<std::string> &names) {
        for (const std::string &name : names) {
            if (const auto at = map.find(key_of(name)); at != map.end()) {
                effects |= at->second;
            }
        }
    };
    must_be_known(names_.functions, what.functions);
    must_be_known(names_.operators, what.operators);
    may_be_known(names_.functions, what.builtins);
    may_be_known(names_.types, what.types);
    for (const std::string &name : what.relations) {
        if (const auto at = names_.relations.find(key_of(name)); at != names_.relations.end()) {
            effects |= at->second.read | (what.writes_relations ? at->second.write : kNoEffect);
        }
    }
    if (!names_.attributes.empty() &&
        std::ranges::any_of(what.attributes, [this](uint32_t hash) { return names_.attributes.contains(hash); })) {
        effects |= kHarm;
    }
    if ((names_.event_triggers && (what.effects & kDdl) != 0) ||
        (names_.anything_opaque && !(what.relations.empty() && what.functions.empty() && what.types.empty()))) {
        effects |= kHarm;
    }
    return effects;
}

} // namespace pgbalancer
