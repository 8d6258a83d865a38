#include "child/buffer.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

namespace pgbalancer {

namespace {

constexpr uint32_t kFirstCapacity = 2048;

} // namespace

void Buffer::append(std::string_view bytes) {
    if (bytes.empty()) {
        return;
    }
    if (capacity_ - end_ < bytes.size() && begin_ > 0) {
        memmove(data_, data_ + begin_, end_ - begin_);
        end_ -= begin_;
        begin_ = 0;
    }
    if (capacity_ - end_ < bytes.size()) {
        const size_t needed = size_t{end_} + bytes.size();
        const size_t grown = std::max({needed, size_t{capacity_} * 2, size_t{kFirstCapacity}});
        char *moved = grown > UINT32_MAX ? nullptr : static_cast<char *>(realloc(data_, grown));
        if (moved == nullptr) {
            abort(); // callers bound what they put here far below this
        }
        data_ = moved;
        capacity_ = static_cast<uint32_t>(grown);
    }
    memcpy(data_ + end_, bytes.data(), bytes.size());
    end_ += static_cast<uint32_t>(bytes.size());
}

void Buffer::clear() {
    free(data_);
    data_ = nullptr;
    begin_ = end_ = capacity_ = 0;
}

} // namespace pgbalancer
