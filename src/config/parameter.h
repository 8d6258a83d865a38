// parameter.h: what one row of the parameter table is made of.
//
// A Parameter names a setting and says which member of Config (or, for backend_*N, of BackendConfig) it lands
// in, by a pointer to member inside its type. Everything that reads, prints, compares or copies parameters works
// from these types (parameter_value.h), so a new parameter is one row and nothing else. All of it is constexpr
// data; no process state.
#pragma once

#include "config/config.h"

#include <chrono>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace pgbalancer {

// Where a value lives: in the Config itself or in one of its backends. `backend` may be null for the former.
template <class T> class Field {
  public:
    constexpr Field(T Config::*member) : whole_(member) {}       // NOLINT: implicit, so that rows stay short
    constexpr Field(T BackendConfig::*member) : node_(member) {} // NOLINT

    T &in(Config &config, BackendConfig *backend) const { return node_ != nullptr ? backend->*node_ : config.*whole_; }
    const T &in(const Config &config, const BackendConfig *backend) const {
        return node_ != nullptr ? backend->*node_ : config.*whole_;
    }

  private:
    T Config::*whole_ = nullptr;
    T BackendConfig::*node_ = nullptr;
};

struct BoolType {
    Field<bool> field;
};

struct IntType {
    Field<int> field;
    int min;
    int max;
    int (*automatic)() = nullptr; // if set, the word `auto` is accepted and means this function's value
};

struct PortType { // 1 .. 65535
    Field<uint16_t> field;
};

struct PermissionsType { // octal, 0 .. 0777
    Field<unsigned> field;
};

struct RealType {
    Field<double> field;
    double min;
    double max;
};

inline constexpr uint64_t kMostBytes = uint64_t{1} << 60;

struct BytesType { // 0 .. kMostBytes

    Field<uint64_t> field;
};

// The unit of a bare number; a number with a unit of its own is accepted everywhere.
enum class DurationUnit : uint8_t { milliseconds, seconds };

struct DurationType {
    Field<std::chrono::milliseconds> field;
    DurationUnit unit;
    std::chrono::milliseconds min;
    std::chrono::milliseconds max;
};

enum class TextKind : uint8_t {
    plain,
    secret, // shown masked
    path,   // a relative one starts from the configuration file's directory
    host,   // name, address, or (absolute path) directory of the server's Unix-domain socket
};

struct TextType {
    Field<std::string> field;
    TextKind kind;
};

enum class ListKind : uint8_t { addresses, directories };

struct ListType {
    Field<std::vector<std::string>> field;
    ListKind kind;
};

// Words for the values of an enum. The first word of a value is the one shown, others are synonyms.
struct Word {
    std::string_view text;
    int value;
};

struct ChoiceType {
    std::span<const Word> words;
    int (*get)(const Config &config);
    void (*set)(Config &config, int value);
};

// "name:mode, name:mode"; the words are the modes.
struct PoolModesType {
    Field<std::vector<std::pair<std::string, PoolMode>>> field;
    std::span<const Word> words;
};

// Words joined by '|', each giving one member of a backend its value.
struct FlagWord {
    std::string_view text;
    bool BackendConfig::*member;
    bool value;
};

struct BackendFlagsType {
    std::span<const FlagWord> words;
};

// Regular expressions: of names, separated by commas; of whole query texts, separated by semicolons.
enum class PatternKind : uint8_t { names, queries };

struct PatternsType {
    Field<std::vector<std::string>> field;
    PatternKind kind;
};

// "pattern:node(ratio), …"
struct RedirectsType {
    Field<std::vector<RedirectEntry>> field;
};

using ParameterType =
    std::variant<BoolType, IntType, PortType, PermissionsType, RealType, BytesType, DurationType, TextType, ListType,
                 ChoiceType, PoolModesType, BackendFlagsType, PatternsType, RedirectsType>;

enum class Section : uint8_t {
    connections,
    pooling,
    backends, // exactly the parameters that carry a node number
    load_balancing,
    timeouts,
    authentication,
    behaviour,
    health,
    files_and_log,
};

struct Parameter {
    std::string_view name; // for a backend parameter without its node number
    Section section;
    ParameterType type;
    std::string_view default_text; // as it could stand in the file, unquoted
    bool reloadable;
    std::string_view help;      // one line
    std::string_view note = {}; // further sentences, may be empty

    constexpr bool per_node() const { return section == Section::backends; }
};

} // namespace pgbalancer
