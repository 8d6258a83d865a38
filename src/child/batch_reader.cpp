#include "child/batch_reader.h"

namespace pgbalancer {

BatchReader::Step BatchReader::next() {
    const std::string_view rest = data_.substr(pos_);
    if (rest.size() < kHeaderBytes) {
        return pos_ + kHeaderBytes > kMaxBytes ? Step::unfit : Step::incomplete;
    }
    const MessageHeader header = read_header(rest.data());
    if (check_frontend_header(header) != FrontendCheck::ok || header.total() > kMaxBytes - pos_) {
        return Step::unfit;
    }
    if (rest.size() < header.total()) {
        return Step::incomplete;
    }
    type_ = header.type;
    body_ = rest.substr(kHeaderBytes, header.body());
    pos_ += header.total();
    return Step::message;
}

} // namespace pgbalancer
