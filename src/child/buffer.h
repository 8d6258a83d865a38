// buffer.h: bytes that could not be processed or written at once.
//
// A session or server connection owns a Buffer only while it holds something: an empty one has no
// memory. Contiguous, so that a message in it can be viewed as one span. Single-threaded.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace pgbalancer {

class Buffer {
  public:
    Buffer() = default;
    ~Buffer() { clear(); }
    Buffer(const Buffer &) = delete;
    Buffer &operator=(const Buffer &) = delete;

    bool empty() const { return begin_ == end_; }
    size_t size() const { return end_ - begin_; }
    std::string_view view() const { return {data_ + begin_, end_ - begin_}; }
    void append(std::string_view bytes);
    // Drops bytes from the front; the memory goes back when nothing is left.
    void consume(size_t n) {
        begin_ += static_cast<uint32_t>(n);
        if (begin_ == end_) {
            clear();
        }
    }
    void clear();

  private:
    char *data_ = nullptr;
    uint32_t begin_ = 0;
    uint32_t end_ = 0;
    uint32_t capacity_ = 0;
};

} // namespace pgbalancer
