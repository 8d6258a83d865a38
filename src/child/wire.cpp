#include "child/wire.h"

namespace pgbalancer {

constexpr std::array<uint32_t, 256> kFrontendLimits = [] {
    std::array<uint32_t, 256> limits{};
    for (const char type : {'Q', 'F', 'B', 'P', 'd'}) { // Query, FunctionCall, Bind, Parse, CopyData
        limits[static_cast<unsigned char>(type)] = kLargeMessageLimit;
    }
    // Close, Describe, Execute, Flush, Sync, Terminate, CopyDone, CopyFail
    for (const char type : {'C', 'D', 'E', 'H', 'S', 'X', 'c', 'f'}) {
        limits[static_cast<unsigned char>(type)] = kSmallMessageLimit;
    }
    return limits;
}();

ServerReport read_report(std::string_view body) {
    ServerReport out;
    FieldReader fields(body);
    std::string_view localised_severity;
    for (;;) {
        const uint8_t code = fields.u8();
        if (!fields.ok() || code == 0) {
            break;
        }
        const std::string_view value = fields.string();
        if (!fields.ok()) {
            break;
        }
        switch (code) {
        case 'V': out.severity = value; break;
        case 'S': localised_severity = value; break;
        case 'C': out.sqlstate = value; break;
        case 'M': out.message = value; break;
        default: break;
        }
    }
    if (out.severity.empty()) {
        out.severity = localised_severity;
    }
    return out;
}

namespace {

void append_report(std::string &out, char type, std::string_view severity, std::string_view sqlstate,
                   std::string_view message, std::string_view detail, std::string_view hint) {
    MessageWriter w(out);
    w.begin(type);
    w.u8('S').string(severity).u8('V').string(severity).u8('C').string(sqlstate).u8('M').string(message);
    if (!detail.empty()) {
        w.u8('D').string(detail);
    }
    if (!hint.empty()) {
        w.u8('H').string(hint);
    }
    w.u8(0).end();
}

} // namespace

void append_error(std::string &out, std::string_view severity, std::string_view sqlstate, std::string_view message,
                  std::string_view detail, std::string_view hint) {
    append_report(out, 'E', severity, sqlstate, message, detail, hint);
}

void append_notice(std::string &out, std::string_view severity, std::string_view sqlstate, std::string_view message) {
    append_report(out, 'N', severity, sqlstate, message, {}, {});
}

void append_error_as_fatal(std::string &out, std::string_view body) {
    MessageWriter w(out);
    w.begin('E');
    w.u8('S').string("FATAL").u8('V').string("FATAL");
    FieldReader fields(body);
    for (;;) {
        const uint8_t code = fields.u8();
        if (!fields.ok() || code == 0) {
            break;
        }
        const std::string_view value = fields.string();
        if (!fields.ok()) {
            break;
        }
        if (code != 'S' && code != 'V') {
            w.u8(code).string(value);
        }
    }
    w.u8(0).end();
}

void append_ready(std::string &out, char transaction_status) {
    MessageWriter(out).begin('Z').u8(static_cast<uint8_t>(transaction_status)).end();
}

void append_command_complete(std::string &out, std::string_view tag) {
    MessageWriter w(out);
    w.begin('C').string(tag).end();
}

void append_parameter_status(std::string &out, std::string_view name, std::string_view value) {
    MessageWriter w(out);
    w.begin('S').string(name).string(value).end();
}

void append_query(std::string &out, std::string_view text) {
    MessageWriter w(out);
    w.begin('Q').string(text).end();
}

} // namespace pgbalancer
