#include "config/yaml_reader.h"

#include "config/list_text.h"
#include "config/parameter_lookup.h"
#include "config/words.h"
#include "config/yaml_parser.h"

#include <algorithm>
#include <charconv>
#include <optional>

namespace pgbalancer {

namespace {

constexpr std::string_view kBackends = "backends";

bool is_null(const YamlEvent &event) {
    if (!event.is_plain()) {
        return false;
    }
    const std::string_view text = event.text();
    return text.empty() || text == "~" || text == "null" || text == "Null" || text == "NULL"; // YAML 1.1, null type
}

// Twice what any parameter takes. libyaml's time grows with the square of the depth, so nothing deeper is even skipped.
constexpr int kMaxDepth = 8;

int depth_change(yaml_event_type_t type) {
    switch (type) {
    case YAML_SEQUENCE_START_EVENT:
    case YAML_MAPPING_START_EVENT: return 1;
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT: return -1;
    default: return 0;
    }
}

// Every read_ and skip_ function starts with the event that opens its node as the current one and ends with the
// event that closes it. After a syntax error, or nesting that is too deep, `failed_` is set and all of them return at
// once.
class YamlReader {
  public:
    YamlReader(std::string_view text, ProblemList &problems) : parser_(text), problems_(problems) {}

    Settings read() {
        read_stream();
        return {.list = std::move(settings_), .complete = !failed_};
    }

  private:
    bool advance() {
        if (failed_) {
            return false;
        }
        if (!parser_.next(event_)) {
            failed_ = true;
            problems_.error(parser_.problem_line(), std::string("not valid YAML: ") + parser_.problem());
            return false;
        }
        if (event_.is(YAML_ALIAS_EVENT) || event_.anchor() != nullptr) {
            problems_.error(event_.line(), "anchors and aliases are not supported");
        }
        if (depth_ += depth_change(event_.type()); depth_ > kMaxDepth) {
            failed_ = true;
            problems_.error(event_.line(), "nested too deeply");
            return false;
        }
        return true;
    }

    void read_stream() {
        if (!advance() || !advance() || event_.is(YAML_STREAM_END_EVENT)) { // stream start, document start
            return;
        }
        if (!advance()) {
            return;
        }
        if (event_.is(YAML_MAPPING_START_EVENT)) {
            read_mapping([this](std::string name, int line) { read_parameter(std::move(name), line); });
        } else if (!event_.is(YAML_SCALAR_EVENT) || !is_null(event_)) {
            problems_.error(event_.line(), "expected a mapping of parameter names to values");
            skip_node();
        }
        if (advance() && advance() && !event_.is(YAML_STREAM_END_EVENT)) { // document end
            problems_.error(event_.line(), "only one document is read");
        }
    }

    // Calls on_value(key, line of the key) with each value's first event as the current one.
    template <class OnValue> void read_mapping(OnValue on_value) {
        while (advance() && !event_.is(YAML_MAPPING_END_EVENT)) {
            const int line = event_.line();
            if (!event_.is(YAML_SCALAR_EVENT)) {
                problems_.error(line, "expected a name");
                skip_node();
                if (advance()) {
                    skip_node();
                }
                continue;
            }
            std::string key{event_.text()};
            if (advance()) {
                on_value(std::move(key), line);
            }
        }
    }

    void read_parameter(std::string name, int line) {
        if (same_word(name, kBackends)) {
            read_backends();
        } else {
            read_setting(std::move(name), line, settings_);
        }
    }

    void read_setting(std::string name, int line, std::vector<Setting> &into) {
        Setting setting{.name = std::move(name), .value = {}, .line = line};
        bool complete = false;
        switch (event_.type()) {
        case YAML_SCALAR_EVENT: complete = read_scalar(setting.name, setting.value); break;
        case YAML_SEQUENCE_START_EVENT:
            setting.shape = ValueShape::list;
            complete = read_list(setting.name, setting.value);
            break;
        case YAML_MAPPING_START_EVENT:
            setting.shape = ValueShape::named_words;
            complete = read_named_words(setting.name, setting.value);
            break;
        default: break; // an alias, reported already
        }
        if (!complete) {
            setting.shape = ValueShape::unreadable;
        }
        into.push_back(std::move(setting));
    }

    bool read_scalar(const std::string &name, std::string &value) {
        if (event_.is(YAML_ALIAS_EVENT)) { // reported already
            return false;
        }
        if (!event_.is(YAML_SCALAR_EVENT)) {
            problems_.error(event_.line(), "the value of \"" + printable(name) + "\" is nested too deeply");
            skip_node();
            return false;
        }
        if (is_null(event_)) {
            problems_.error(event_.line(),
                            "parameter \"" + printable(name) + "\" has no value; an empty one is written ''");
            return false;
        }
        value = event_.text();
        return true;
    }

    bool read_list(const std::string &name, std::string &value) {
        std::vector<std::string> items;
        bool complete = true;
        while (advance() && !event_.is(YAML_SEQUENCE_END_EVENT)) {
            complete &= read_scalar(name, items.emplace_back());
        }
        value = list_text(items);
        return complete && !failed_;
    }

    bool read_named_words(const std::string &name, std::string &value) {
        NamedWords pairs;
        bool complete = true;
        read_mapping([&](std::string key, int) {
            std::string word;
            complete &= read_scalar(name, word);
            if (word.find_first_of(",:\"") != std::string::npos) { // would be read as something else
                problems_.error(event_.line(), "\"" + printable(name) + "\" is not a mapping of names to words");
                complete = false;
            }
            pairs.emplace_back(std::move(key), std::move(word));
        });
        value = named_words_text(pairs);
        return complete && !failed_;
    }

    void read_backends() {
        if (!event_.is(YAML_SEQUENCE_START_EVENT)) {
            problems_.error(event_.line(), "backends is a sequence of mappings");
            skip_node();
            return;
        }
        std::vector<int> nodes;
        for (int place = 0; advance() && !event_.is(YAML_SEQUENCE_END_EVENT); place++) {
            if (!event_.is(YAML_MAPPING_START_EVENT)) {
                problems_.error(event_.line(), "backends is a sequence of mappings");
                skip_node();
                continue;
            }
            read_backend(place, nodes);
        }
    }

    void read_backend(int place, std::vector<int> &nodes) {
        const int line = event_.line();
        std::vector<Setting> members;
        std::optional<int> node = place;
        read_mapping([&](std::string key, int key_line) {
            if (!key.empty() && key.back() >= '0' && key.back() <= '9') { // would be taken for another node's
                problems_.error(key_line, "in backends, names are written without a number");
                skip_node();
            } else if (same_word(key, "id")) {
                std::string text;
                node = read_scalar(key, text) ? parse_node_number(text) : std::nullopt;
            } else {
                read_setting(std::move(key), key_line, members);
            }
        });
        if (failed_) {
            return;
        }
        if (!node || *node > kMaxNodeNumber) {
            problems_.error(line, "the id of a backend is a number from 0 to " + std::to_string(kMaxNodeNumber));
            return;
        }
        if (std::ranges::find(nodes, *node) != nodes.end()) {
            problems_.error(line, "backend " + std::to_string(*node) + " appears twice in backends");
            return;
        }
        nodes.push_back(*node);
        for (Setting &member : members) {
            member.name = "backend_" + member.name + std::to_string(*node);
            settings_.push_back(std::move(member));
        }
    }

    void skip_node() {
        int depth = 0;
        do {
            depth += depth_change(event_.type());
        } while (depth > 0 && advance());
    }

    YamlParser parser_;
    YamlEvent event_;
    ProblemList &problems_;
    std::vector<Setting> settings_;
    int depth_ = 0;
    bool failed_ = false;
};

} // namespace

Settings read_yaml(std::string_view text, ProblemList &problems) { return YamlReader(text, problems).read(); }

} // namespace pgbalancer
