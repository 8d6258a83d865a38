// control_channel.h: one end of the socketpair between the supervisor and a child.
//
// Carries the messages of control_message.h. Non-blocking on both sides: whoever holds an end registers
// fd() for reading in its own event loop and calls receive() until there is nothing left. Owns the
// descriptor. Used by the supervisor and by every child.
#pragma once

#include "common/result.h"
#include "common/unique_fd.h"
#include "main/control_message.h"

#include <cstddef>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace pgbalancer {

struct ControlMessage {
    ControlType type{};
    std::vector<std::byte> body;
    UniqueFd fd; // set where the type says that a descriptor comes along

    // The body as the struct that belongs to the type; nothing unless the length is exactly its size.
    template <class Body> std::optional<Body> body_as() const {
        static_assert(std::is_trivially_copyable_v<Body>);
        if (body.size() != sizeof(Body)) {
            return std::nullopt;
        }
        Body value;
        memcpy(&value, body.data(), sizeof value);
        return value;
    }
};

class ControlChannel {
  public:
    // Larger bodies are not sent and not accepted. What is long travels in a sealed memfd.
    static constexpr size_t kMaxBodyBytes = 256;

    struct Pair {
        UniqueFd supervisor_end;
        UniqueFd child_end;
    };
    static Result<Pair> make_pair();

    explicit ControlChannel(UniqueFd fd) : fd_(std::move(fd)) {}
    int fd() const { return fd_.get(); }

    // One packet, whole or not at all. False: the peer's queue is full, or the peer is gone, which receive() then
    // says too. `fd` is duplicated into the message and stays the caller's.
    [[nodiscard]] bool send(ControlType type, std::span<const std::byte> body = {}, int fd = -1);
    template <class Body> [[nodiscard]] bool send_body(ControlType type, const Body &body) {
        static_assert(std::is_trivially_copyable_v<Body> && sizeof(Body) <= kMaxBodyBytes);
        return send(type, std::as_bytes(std::span(&body, 1)));
    }

    // nullopt: nothing there now. Error: end of file (the peer is gone) or not a message; the channel is of no
    // more use then.
    Result<std::optional<ControlMessage>> receive();

  private:
    UniqueFd fd_;
};

// The configuration's text on its way to the children: a memfd that nobody can change or shrink any more.
Result<UniqueFd> seal_text(std::string_view text);
// Checks the seals. Leaves the file position alone, which all receivers share.
Result<std::string> read_sealed_text(const UniqueFd &fd);

} // namespace pgbalancer
