// yaml_parser.h: libyaml's event parser behind an owning type; the only file that names libyaml's functions.
#pragma once

#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>
#include <yaml.h>

namespace pgbalancer {

// One event of the document. Owns what libyaml allocated for it.
class YamlEvent {
  public:
    YamlEvent() = default;
    ~YamlEvent() { yaml_event_delete(&event_); }
    YamlEvent(const YamlEvent &) = delete;
    YamlEvent &operator=(const YamlEvent &) = delete;

    yaml_event_type_t type() const { return event_.type; }
    bool is(yaml_event_type_t type) const { return event_.type == type; }
    int line() const { return static_cast<int>(event_.start_mark.line) + 1; }

    // For YAML_SCALAR_EVENT; valid as long as the event holds it.
    std::string_view text() const {
        return {reinterpret_cast<const char *>(event_.data.scalar.value), event_.data.scalar.length};
    }
    // A scalar without quotes, which may be one of YAML's ways to write null.
    bool is_plain() const { return event_.data.scalar.style == YAML_PLAIN_SCALAR_STYLE; }

    // The name of the anchor on this node, or null. An alias is an event of its own.
    const void *anchor() const {
        switch (event_.type) {
        case YAML_SCALAR_EVENT: return event_.data.scalar.anchor;
        case YAML_SEQUENCE_START_EVENT: return event_.data.sequence_start.anchor;
        case YAML_MAPPING_START_EVENT: return event_.data.mapping_start.anchor;
        default: return nullptr;
        }
    }

  private:
    friend class YamlParser;
    yaml_event_t event_{};
};

// Reads a text that outlives it.
class YamlParser {
  public:
    explicit YamlParser(std::string_view text) {
        if (yaml_parser_initialize(&parser_) == 0) {
            abort(); // out of memory
        }
        yaml_parser_set_encoding(&parser_, YAML_UTF8_ENCODING);
        yaml_parser_set_input_string(&parser_, reinterpret_cast<const unsigned char *>(text.data()), text.size());
    }
    ~YamlParser() { yaml_parser_delete(&parser_); }
    YamlParser(const YamlParser &) = delete;
    YamlParser &operator=(const YamlParser &) = delete;

    // Replaces the event by the next one. False on a syntax error: then see problem() and problem_line().
    [[nodiscard]] bool next(YamlEvent &event) {
        yaml_event_delete(&event.event_);
        return yaml_parser_parse(&parser_, &event.event_) != 0;
    }
    const char *problem() const { return parser_.problem != nullptr ? parser_.problem : "out of memory"; }
    int problem_line() const { return static_cast<int>(parser_.problem_mark.line) + 1; }

  private:
    yaml_parser_t parser_{};
};

} // namespace pgbalancer
