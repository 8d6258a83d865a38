// wire.h: frames of the PostgreSQL frontend/backend protocol 3.0 (manual chapter "Frontend/Backend
// Protocol", sections Message Formats and Error and Notice Message Fields). Pure: reads and writes
// bytes, knows no connection. Lengths coming from a peer are checked before they are used.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <endian.h>
#include <optional>
#include <string>
#include <string_view>

namespace pgbalancer {

constexpr size_t kHeaderBytes = 5; // type and length
// Limits PostgreSQL itself enforces (libpq.h: PQ_SMALL_MESSAGE_LIMIT, PQ_LARGE_MESSAGE_LIMIT).
constexpr uint32_t kSmallMessageLimit = 10000;
constexpr uint32_t kLargeMessageLimit = 0x3fffffff - 1;

inline uint32_t read_u32(const char *at) {
    uint32_t v = 0;
    memcpy(&v, at, sizeof v);
    return be32toh(v);
}
inline uint16_t read_u16(const char *at) {
    uint16_t v = 0;
    memcpy(&v, at, sizeof v);
    return be16toh(v);
}
inline void write_u32(char *at, uint32_t v) {
    v = htobe32(v);
    memcpy(at, &v, sizeof v);
}

// A typed message's header. `length` counts itself but not the type byte, as on the wire.
struct MessageHeader {
    char type;
    uint32_t length;
    size_t total() const { return size_t{length} + 1; }
    size_t body() const { return size_t{length} - 4; }
};
// `bytes` must hold at least kHeaderBytes.
inline MessageHeader read_header(const char *bytes) { return {bytes[0], read_u32(bytes + 1)}; }

// Whether a client may send this type with this length (PostgreSQL: SocketBackend()).
enum class FrontendCheck : uint8_t { ok, bad_type, bad_length };
extern const std::array<uint32_t, 256> kFrontendLimits; // largest length by type, 0: no such type
inline FrontendCheck check_frontend_header(MessageHeader header) {
    const uint32_t limit = kFrontendLimits[static_cast<unsigned char>(header.type)];
    if (header.length >= 4 && header.length <= limit) {
        return FrontendCheck::ok;
    }
    return limit == 0 ? FrontendCheck::bad_type : FrontendCheck::bad_length;
}

// Where the string that begins at `from` ends; npos: not here. Names are mostly empty, so that is looked at first.
inline size_t find_nul(std::string_view bytes, size_t from = 0) {
    return from < bytes.size() && bytes[from] == '\0' ? from : bytes.find('\0', from);
}

// Takes NUL-terminated strings and integers off a message body; `ok()` turns false for good at the
// first field that is not there.
class FieldReader {
  public:
    explicit FieldReader(std::string_view body) : rest_(body) {}
    std::string_view string() {
        const size_t end = find_nul(rest_);
        if (end == std::string_view::npos) {
            ok_ = false;
            rest_ = {};
            return {};
        }
        const std::string_view out = rest_.substr(0, end);
        rest_.remove_prefix(end + 1);
        return out;
    }
    uint8_t u8() {
        const std::string_view b = bytes(1);
        return ok_ ? static_cast<uint8_t>(b[0]) : uint8_t{0};
    }
    uint16_t u16() {
        const std::string_view b = bytes(2);
        return ok_ ? read_u16(b.data()) : uint16_t{0};
    }
    uint32_t u32() {
        const std::string_view b = bytes(4);
        return ok_ ? read_u32(b.data()) : 0;
    }
    std::string_view bytes(size_t n) {
        if (!ok_ || n > rest_.size()) {
            ok_ = false;
            rest_ = {};
            return {};
        }
        const std::string_view out = rest_.substr(0, n);
        rest_.remove_prefix(n);
        return out;
    }
    std::string_view rest() const { return rest_; }
    bool ok() const { return ok_; }

  private:
    std::string_view rest_;
    bool ok_ = true;
};

// Appends whole messages to a string.
class MessageWriter {
  public:
    explicit MessageWriter(std::string &out) : out_(out) {}
    MessageWriter &begin(char type) {
        start_ = out_.size() + 1;
        out_.push_back(type);
        out_.append(4, '\0');
        return *this;
    }
    // A startup packet has no type byte.
    MessageWriter &begin_untyped() {
        start_ = out_.size();
        out_.append(4, '\0');
        return *this;
    }
    MessageWriter &u8(uint8_t v) {
        out_.push_back(static_cast<char>(v));
        return *this;
    }
    MessageWriter &u16(uint16_t v) {
        v = htobe16(v);
        out_.append(reinterpret_cast<const char *>(&v), sizeof v);
        return *this;
    }
    MessageWriter &u32(uint32_t v) {
        v = htobe32(v);
        out_.append(reinterpret_cast<const char *>(&v), sizeof v);
        return *this;
    }
    MessageWriter &string(std::string_view v) {
        out_.append(v);
        out_.push_back('\0');
        return *this;
    }
    MessageWriter &bytes(std::string_view v) {
        out_.append(v);
        return *this;
    }
    void end() { write_u32(out_.data() + start_, static_cast<uint32_t>(out_.size() - start_)); }

  private:
    std::string &out_;
    size_t start_ = 0;
};

// An ErrorResponse or NoticeResponse as far as pgbalancer looks into one. Any field may be missing
// in what a server sends: it is empty then.
struct ServerReport {
    std::string_view severity; // field V (never localised), else S
    std::string_view sqlstate;
    std::string_view message;
    bool fatal() const { return severity == "FATAL" || severity == "PANIC"; }
};
ServerReport read_report(std::string_view body);

void append_error(std::string &out, std::string_view severity, std::string_view sqlstate, std::string_view message,
                  std::string_view detail = {}, std::string_view hint = {});
void append_notice(std::string &out, std::string_view severity, std::string_view sqlstate, std::string_view message);
// The server's own ErrorResponse body with its severity made FATAL: what a client must see when the
// error ends its session although it did not end the server's.
void append_error_as_fatal(std::string &out, std::string_view body);
void append_ready(std::string &out, char transaction_status);
void append_command_complete(std::string &out, std::string_view tag);
void append_parameter_status(std::string &out, std::string_view name, std::string_view value);
void append_query(std::string &out, std::string_view text);

} // namespace pgbalancer
