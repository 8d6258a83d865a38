#include "child/startup.h"

#include "child/wire.h"

#include <algorithm>

namespace pgbalancer {

namespace {

constexpr uint32_t kCancelRequestCode = 80877102;
constexpr uint32_t kSslRequestCode = 80877103;
constexpr uint32_t kGssRequestCode = 80877104;
constexpr size_t kMaxNameBytes = 63; // NAMEDATALEN - 1: PostgreSQL truncates longer names

Error protocol_violation(std::string text) { return {std::move(text), "08P01"}; }

bool replication_on(std::string_view value, bool &on) {
    if (value == "database") {
        on = true;
        return true;
    }
    std::string lower(value);
    std::transform(lower.begin(), lower.end(), lower.begin(), [](unsigned char c) { return std::tolower(c); });
    // parse_bool: unambiguous prefixes of true, false, yes, no; on, off; 1, 0
    for (std::string_view yes : {"true", "yes"}) {
        if (!lower.empty() && yes.starts_with(lower)) {
            on = true;
            return true;
        }
    }
    for (std::string_view no : {"false", "no"}) {
        if (!lower.empty() && no.starts_with(lower)) {
            on = false;
            return true;
        }
    }
    if (lower == "on" || lower == "1") {
        on = true;
        return true;
    }
    if (lower == "off" || lower == "of" || lower == "0") {
        on = false;
        return true;
    }
    return false;
}

void normalise_setting_name(std::string &name) { std::replace(name.begin(), name.end(), '-', '_'); }

Result<StartupMessage> read_startup_message(uint32_t version, std::string_view body) {
    StartupMessage out;
    out.minor = static_cast<uint16_t>(version & 0xffff);
    if (body.empty() || body.back() != '\0') {
        return protocol_violation("invalid startup packet layout: expected terminator as last byte");
    }
    FieldReader fields(body);
    for (;;) {
        const std::string_view name = fields.string();
        if (!fields.ok()) {
            return protocol_violation("invalid startup packet layout: expected terminator as last byte");
        }
        if (name.empty()) {
            break;
        }
        const std::string_view value = fields.string();
        if (!fields.ok()) {
            return protocol_violation("invalid startup packet layout: expected terminator as last byte");
        }
        if (name == "user") {
            out.user = value.substr(0, kMaxNameBytes);
        } else if (name == "database") {
            out.database = value.substr(0, kMaxNameBytes);
        } else if (name == "options") {
            out.raw_options = value;
        } else if (name == "replication") {
            if (!replication_on(value, out.replication)) {
                return Error{"invalid value for parameter \"replication\": \"" + std::string(value) + "\"", "22023"};
            }
            out.replication_value = value;
        } else if (name.starts_with("_pq_.")) {
            out.unknown_protocol_options.emplace_back(name);
        } else {
            out.settings.emplace_back(name, value);
        }
    }
    if (!fields.rest().empty()) {
        return protocol_violation("invalid startup packet layout: expected terminator as last byte");
    }
    if (out.user.empty()) {
        return Error{"no PostgreSQL user name specified in startup packet", "28000"};
    }
    if (out.database.empty()) {
        out.database = out.user;
    }
    if (!out.raw_options.empty() && !out.replication) {
        auto options = read_options(out.raw_options);
        if (!options) {
            return options.error();
        }
        // PostgreSQL applies `options` before the packet's other settings, so the latter win.
        out.settings.insert(out.settings.begin(), options->begin(), options->end());
    }
    return out;
}

} // namespace

Result<uint32_t> startup_length(std::string_view bytes) {
    const uint32_t length = read_u32(bytes.data());
    if (length < 8 || length > kMaxStartupBytes) {
        return protocol_violation("invalid length of startup packet");
    }
    return length;
}

Result<FirstPacket> read_first_packet(std::string_view packet) {
    const uint32_t code = read_u32(packet.data() + 4);
    const std::string_view body = packet.substr(8);
    if (code == kCancelRequestCode) {
        if (body.size() != 8) {
            return protocol_violation("invalid length of startup packet");
        }
        return FirstPacket{CancelRequest{read_u32(body.data()), read_u32(body.data() + 4)}};
    }
    if (code == kSslRequestCode || code == kGssRequestCode) {
        if (!body.empty()) {
            return protocol_violation("invalid length of startup packet");
        }
        return FirstPacket{EncryptionRequest{}};
    }
    if (code >> 16 != 3) {
        return Error{"unsupported frontend protocol " + std::to_string(code >> 16) + "." +
                         std::to_string(code & 0xffff) + ": server supports 3.0 to 3.0",
                     "0A000"};
    }
    auto message = read_startup_message(code, body);
    if (!message) {
        return message.error();
    }
    return FirstPacket{std::move(*message)};
}

Result<std::vector<std::pair<std::string, std::string>>> read_options(std::string_view options) {
    std::vector<std::string> words;
    size_t i = 0;
    const auto blank = [](char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\v' || c == '\f' || c == '\r'; };
    for (;;) {
        while (i < options.size() && blank(options[i])) {
            i++;
        }
        if (i == options.size()) {
            break;
        }
        std::string word;
        while (i < options.size() && !blank(options[i])) {
            if (options[i] == '\\' && i + 1 < options.size()) {
                i++;
            }
            word.push_back(options[i++]);
        }
        words.push_back(std::move(word));
    }
    std::vector<std::pair<std::string, std::string>> out;
    for (size_t w = 0; w < words.size(); w++) {
        std::string_view setting = words[w];
        if (setting == "-c" && w + 1 < words.size()) {
            setting = words[++w];
        } else if (setting.starts_with("-c") || setting.starts_with("--")) {
            setting.remove_prefix(2);
        } else {
            return Error{"unsupported command-line option in startup parameter \"options\": " + words[w], "0A000"};
        }
        const size_t equals = setting.find('=');
        if (equals == std::string_view::npos || equals == 0) {
            return Error{"-c " + std::string(setting) + " requires a value", "42601"};
        }
        std::string name(setting.substr(0, equals));
        normalise_setting_name(name);
        out.emplace_back(std::move(name), std::string(setting.substr(equals + 1)));
    }
    return out;
}

} // namespace pgbalancer
