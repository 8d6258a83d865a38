#include "config/config_loader.h"

#include "common/result.h"
#include "common/unique_fd.h"
#include "config/conf_reader.h"
#include "config/config_checks.h"
#include "config/parameter_assign.h"
#include "config/parameter_lookup.h"
#include "config/parameter_table.h"
#include "config/parameter_value.h"
#include "config/problem_list.h"
#include "config/words.h"
#include "config/yaml_reader.h"

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <sys/stat.h>

namespace pgbalancer {

namespace {

bool is_yaml(std::string_view path) {
    const size_t dot = path.rfind('.');
    return dot != std::string_view::npos &&
           (same_word(path.substr(dot), ".yaml") || same_word(path.substr(dot), ".yml"));
}

std::string absolute(const std::string &path) {
    std::error_code error;
    const auto absolute_path = std::filesystem::absolute(path, error);
    return error ? path : absolute_path.lexically_normal().string();
}

Result<std::string> read_file(const std::string &path) {
    const auto failure = [&] {
        return Error{.message = std::string("cannot read the file: ") + std::strerror(errno), .sqlstate = {}};
    };
    // Non-blocking, so that a FIFO put in the file's place does not stop a reload.
    const UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
    struct stat status {};
    if (!fd || fstat(fd.get(), &status) != 0) {
        return failure();
    }
    if (!S_ISREG(status.st_mode)) {
        return Error{.message = "not a regular file", .sqlstate = {}};
    }
    std::string text(kMaxConfigBytes + 1, '\0'); // one more than allowed shows that there is too much
    size_t used = 0;
    while (used < text.size()) {
        const ssize_t n = read(fd.get(), text.data() + used, text.size() - used);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return failure();
        }
        if (n == 0) {
            break;
        }
        used += static_cast<size_t>(n);
    }
    text.resize(used);
    return text;
}

// A default that its own row refuses is a defect of the table, found by the first test that loads anything.
void assign_default(const Parameter &parameter, Config &config, BackendConfig *backend) {
    if (assign_parameter(parameter, parameter.default_text, "/", config, backend)) {
        abort();
    }
}

class ConfigBuilder {
  public:
    explicit ConfigBuilder(const std::string &path) : problems_(path) {
        config_.source_path = absolute(path);
        base_directory_ = std::filesystem::path(config_.source_path).parent_path().string();
        for (const Parameter &row : parameter_table()) {
            if (!row.per_node()) {
                assign_default(row, config_, nullptr);
            }
        }
    }

    ProblemList &problems() { return problems_; }

    void read(std::string_view text) {
        if (text.size() > kMaxConfigBytes) {
            problems_.error(0, "the file is larger than " + std::to_string(kMaxConfigBytes) + " bytes");
            return;
        }
        const Settings settings =
            is_yaml(config_.source_path) ? read_yaml(text, problems_) : read_conf(text, problems_);
        for (const Setting &setting : settings.list) {
            apply(setting);
        }
        check_consistency(config_, places_, settings.complete, problems_);
    }

    void check_named_files() { check_files(config_, places_, problems_); }

    ConfigLoad finish(std::string text) {
        ConfigLoad load;
        load.text = std::move(text);
        if (!problems_.has_errors()) {
            std::erase_if(config_.backends, [](const BackendConfig &backend) { return backend.hostname.empty(); });
            for (BackendConfig &backend : config_.backends) {
                if (backend.application_name.empty()) {
                    backend.application_name = "server" + std::to_string(backend.id);
                }
            }
            load.config = std::move(config_);
        }
        load.problems = problems_.take();
        return load;
    }

  private:
    void apply(const Setting &setting) {
        const auto ref = find_parameter(setting.name);
        if (!ref) {
            problems_.error(setting.line, unknown_parameter_message(setting.name));
            return;
        }
        const std::string name = ref->name();
        const auto before = places_.find(name);
        if (before != places_.end()) {
            problems_.warning(setting.line,
                              name + " is set again; line " + std::to_string(before->second.line) + " has no effect");
        }
        BackendConfig *backend = ref->node == kNoNode ? nullptr : &backend_with_id(ref->node);
        const bool accepted = setting.shape != ValueShape::unreadable && assign(*ref, setting, backend);
        places_.insert_or_assign(name, SettingPlace{.line = setting.line, .accepted = accepted});
    }

    bool assign(const ParameterRef &ref, const Setting &setting, BackendConfig *backend) {
        if (!takes_shape(*ref.parameter, setting.shape)) {
            problems_.error(setting.line, ref.name() + " takes a single value");
            return false;
        }
        const std::string &text =
            setting.verbatim && keeps_backslashes(*ref.parameter) ? *setting.verbatim : setting.value;
        const auto complaint = assign_parameter(*ref.parameter, text, base_directory_, config_, backend);
        if (complaint) {
            const std::string value = is_secret(*ref.parameter) ? "the value" : "\"" + printable(text) + "\"";
            problems_.error(setting.line, ref.name() + ": " + value + " " + *complaint);
        }
        return !complaint;
    }

    static bool takes_shape(const Parameter &parameter, ValueShape shape) {
        switch (shape) {
        case ValueShape::list: {
            const auto *patterns = std::get_if<PatternsType>(&parameter.type);
            return std::holds_alternative<ListType>(parameter.type) ||
                   (patterns != nullptr && patterns->kind == PatternKind::names);
        }
        case ValueShape::named_words:
            return std::holds_alternative<PoolModesType>(parameter.type) ||
                   std::holds_alternative<RedirectsType>(parameter.type);
        default: return true;
        }
    }

    // Made with the defaults when first mentioned.
    BackendConfig &backend_with_id(int id) {
        const auto place = std::ranges::lower_bound(config_.backends, id, {}, &BackendConfig::id);
        if (place != config_.backends.end() && place->id == id) {
            return *place;
        }
        BackendConfig &backend = *config_.backends.emplace(place);
        backend.id = id;
        for (const Parameter &row : parameter_table()) {
            if (row.per_node()) {
                assign_default(row, config_, &backend);
            }
        }
        return backend;
    }

    ProblemList problems_;
    Config config_;
    std::string base_directory_;
    SettingPlaces places_;
};

} // namespace

ConfigLoad load_config_text(std::string_view text, const std::string &path) {
    ConfigBuilder builder(path);
    builder.read(text);
    return builder.finish(std::string(text));
}

ConfigLoad load_config_file(const std::string &path) {
    ConfigBuilder builder(path);
    Result<std::string> text = read_file(path);
    if (!text) {
        builder.problems().error(0, text.error().message);
        return builder.finish({});
    }
    builder.read(*text);
    builder.check_named_files();
    return builder.finish(std::move(*text));
}

} // namespace pgbalancer
