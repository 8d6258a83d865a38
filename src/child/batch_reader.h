// batch_reader.h: the messages of an extended-protocol batch, looked at before any of them is handled.
//
// Pure: a view of what a client has sent so far, from a message's first byte on; nothing is consumed. The batch ends
// with Sync. Only so much is looked at: what a read may have to be sent a second time is kept whole (read_guard.h).
#pragma once

#include "child/wire.h"

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace pgbalancer {

class BatchReader {
  public:
    static constexpr size_t kMaxBytes = 65536;

    enum class Step : uint8_t {
        message,    // type() and body() are the next one's
        incomplete, // more of it must come first
        unfit,      // it is longer than kMaxBytes, or no client may send such a message
    };

    explicit BatchReader(std::string_view data) : data_(data) {}

    Step next();
    char type() const { return type_; }
    std::string_view body() const { return body_; }
    // From the beginning to the end of the present message.
    size_t bytes() const { return pos_; }

  private:
    std::string_view data_;
    std::string_view body_;
    size_t pos_ = 0;
    char type_ = 0;
};

} // namespace pgbalancer
