// read_guard.h: a read under way on a standby, as long as it can still be run again on the primary.
//
// What the client sent is kept. ParseComplete, BindComplete, descriptions and notices are held back until the first
// reply that says something about the outcome; from then on everything passes, and there is no way back. If instead the
// standby refuses or is lost, nobody has seen anything of it.
//
// One per server connection to a standby, made with the first read there. Its memory is used again by the next read.
// Single-threaded, no I/O.
#pragma once

#include "child/prepared_statement.h"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace pgbalancer {

// What an error of a standby means for a read that was sent there.
enum class Refusal : uint8_t {
    none,    // the statement's own error
    passing, // the standby's trouble of the moment: the primary may do better
    lasting, // it will not run on a standby the next time either
};
Refusal refusal_of(std::string_view sqlstate);

// Whether a backend message of this type may wait for what comes behind it.
bool may_be_held(char type);

class ReadGuard {
  public:
    // `batch`: what the client sent, whole.
    void begin(std::string_view batch);
    void end();

    bool active() const { return state_ != State::none; }
    // Nothing has been passed on.
    bool holding() const { return state_ == State::holding; }
    bool refused() const { return state_ == State::refused; }
    bool may_run_again() const { return holding() || refused(); }

    // False: it is too much to be held.
    [[nodiscard]] bool hold(std::string_view message);
    std::string_view held() const { return held_; }
    void let_go() { state_ = State::passing; }
    void refuse(Refusal why) {
        state_ = State::refused;
        why_ = why;
        held_.clear();
    }
    Refusal why() const { return why_; }

    const std::string &batch() const { return batch_; }
    // The client's statements that the batch defines, describes or closes, as they were before; without a statement:
    // there was none of this name.
    std::vector<NamedStatement> &before() { return before_; }

    static constexpr size_t kMaxHeldBytes = 65536;

  private:
    enum class State : uint8_t { none, holding, passing, refused };

    State state_ = State::none;
    Refusal why_ = Refusal::none;
    std::string batch_;
    std::string held_;
    std::vector<NamedStatement> before_;
};

} // namespace pgbalancer
