// result.h: an expected failure is a value.
//
// Result<T> holds either a T or an Error. Network, peer, configuration and file errors travel this
// way; broken invariants do not (they abort the process, and the supervisor replaces it). No
// function that returns a Result throws on purpose.
#pragma once

#include <string>
#include <utility>
#include <variant>

namespace pgbalancer {

// What went wrong. `sqlstate` is set where the error may reach a PostgreSQL client (five
// characters, PostgreSQL manual appendix A) and empty elsewhere.
struct Error {
    std::string message;
    std::string sqlstate;
};

template <class T> class [[nodiscard]] Result {
  public:
    Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}     // NOLINT: implicit by design
    Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {} // NOLINT

    explicit operator bool() const { return state_.index() == 0; }
    T &value() { return std::get<0>(state_); }
    const T &value() const { return std::get<0>(state_); }
    T &operator*() { return value(); }
    const T &operator*() const { return value(); }
    T *operator->() { return &value(); }
    const T *operator->() const { return &value(); }
    const Error &error() const { return std::get<1>(state_); }

  private:
    std::variant<T, Error> state_;
};

struct Ok {};
using Status = Result<Ok>;

} // namespace pgbalancer
