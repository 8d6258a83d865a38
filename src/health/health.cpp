#include "health/health.h"

#include "common/event_loop.h"
#include "common/log.h"
#include "config/config_loader.h"
#include "config/log_options.h"
#include "health/node_checker.h"
#include "health/position_sampler.h"
#include "main/control_channel.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <vector>

namespace pgbalancer {

namespace {

using namespace std::chrono_literals;

// The service is not said to be ready before every node was looked at once, but no longer than this.
constexpr auto kFirstLook = 1000ms;

class Health final : public NodeChecker::Owner {
  public:
    explicit Health(HealthContext context)
        : config_(std::move(context.config)), shared_(*context.shared), control_(std::move(context.control)) {}

    int run() {
        forget_libpq_environment();
        control_event_.arm<&Health::on_control>(loop_, control_.fd(), EV_READ, this);
        first_look_.arm<&Health::say_ready>(loop_, kFirstLook, this);
        for (int i = 0; i < shared_.node_count(); i++) {
            checkers_.push_back(std::make_unique<NodeChecker>(loop_, shared_, config_, i, *this));
        }
        positions_.emplace(loop_, shared_, config_);
        while (!exit_code_ && loop_.turn()) {
        }
        return exit_code_.value_or(1);
    }

  private:
    bool report(int node) override { return control_.send_body(ControlType::node_report, NodeBody{.node = node}); }

    void on_check_concluded() override {
        if (std::ranges::all_of(checkers_, [](const auto &checker) { return checker->concluded(); })) {
            say_ready();
        }
    }

    void say_ready() {
        if (!ready_said_ && control_.send(ControlType::ready)) {
            ready_said_ = true;
            first_look_.disarm();
        }
    }

    void on_control(short) {
        while (!exit_code_) {
            auto received = control_.receive();
            if (!received) {
                log_at(LogLevel::info, "%s: the supervisor is gone", received.error().message.c_str());
                exit_code_ = 1;
            } else if (!*received) {
                return;
            } else if (!handle(**received)) {
                log_at(LogLevel::error, "message %d makes no sense here", static_cast<int>((*received)->type));
                exit_code_ = 1;
            }
        }
    }

    bool handle(const ControlMessage &message) {
        switch (message.type) {
        case ControlType::shut_down: exit_code_ = 0; return message.body_as<ShutDownBody>().has_value();
        case ControlType::reload: reload(message.fd); return message.body.empty();
        case ControlType::reopen_logs:
            if (!log_reopen()) {
                log_at(LogLevel::error, "cannot reopen the log file");
            }
            return message.body.empty();
        case ControlType::node_suspect: {
            const auto body = message.body_as<NodeBody>();
            if (!body || body->node < 0 || body->node >= shared_.node_count()) {
                return false;
            }
            checkers_[static_cast<size_t>(body->node)]->suspect();
            return true;
        }
        default: return false;
        }
    }

    // The supervisor has validated this text; what fails here is that it did not arrive.
    void reload(const UniqueFd &fd) {
        const auto text = read_sealed_text(fd);
        ConfigLoad load = text ? load_config_text(*text, config_.source_path) : ConfigLoad{};
        if (!load.config) {
            log_at(LogLevel::error, "reload: the new configuration could not be taken over");
            return;
        }
        config_ = reloadable_part(config_, *load.config);
        if (!log_configure(log_options(config_))) {
            log_at(LogLevel::error, "reload: cannot open the log file");
        }
        for (const auto &checker : checkers_) {
            checker->configure(config_);
        }
        positions_->configure(config_);
        if (!control_.send(ControlType::reload_done)) {
            log_at(LogLevel::warning, "reload: done, but the supervisor cannot be told");
        }
    }

    Config config_;
    SharedState &shared_;
    EventLoop loop_;
    ControlChannel control_;
    IoEvent control_event_;
    TimerEvent first_look_;
    std::vector<std::unique_ptr<NodeChecker>> checkers_;
    std::optional<PositionSampler> positions_;
    bool ready_said_ = false;
    std::optional<int> exit_code_;
};

} // namespace

int run_health(HealthContext context) { return Health(std::move(context)).run(); }

} // namespace pgbalancer
