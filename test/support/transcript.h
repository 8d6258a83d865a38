// transcript.h: what a client was told, message by message, without what may differ from one time to the next.
#pragma once

#include "child/wire.h"

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace pgbalancer::test {

// The stream of a server's messages, taken apart as it comes.
class Transcript {
  public:
    void take(std::string_view bytes) {
        in_ += bytes;
        size_t used = 0;
        while (!begun_ && used < in_.size() && in_[used] == 'N') {
            used++; // no encryption: the only answer that is no message
        }
        while (in_.size() - used >= kHeaderBytes) {
            begun_ = true;
            const MessageHeader header = read_header(in_.data() + used);
            if (header.length < 4 || std::string_view(kTypes).find(header.type) == std::string_view::npos) {
                broken_ = true;
                return;
            }
            if (in_.size() - used < header.total()) {
                break;
            }
            note(header.type, std::string_view(in_).substr(used + kHeaderBytes, header.body()));
            used += header.total();
        }
        in_.erase(0, used);
    }

    // One entry per message, except for notices, keys, reported settings and the login.
    const std::vector<std::string> &entries() const { return entries_; }
    // For people: the last entries, up to `end`.
    void print(const char *title, size_t end = SIZE_MAX) const {
        end = std::min(end, entries_.size());
        for (size_t i = end < 20 ? 0 : end - 20; i < end; i++) {
            std::string line = entries_[i];
            std::replace_if(
                line.begin(), line.end(), [](unsigned char c) { return c < ' '; }, '|');
            fprintf(stderr, "%s%s\n", title, line.c_str());
        }
    }
    // What ParameterStatus said last of each.
    std::string reported() const {
        std::string out;
        for (const auto &[name, value] : reported_) {
            out += name + "=" + value + " ";
        }
        return out;
    }
    size_t ready_count() const { return ready_count_; }
    bool fatal() const { return fatal_; }
    bool whole() const { return in_.empty() && !broken_; }
    bool broken() const { return broken_; } // these are no messages
    // Body of the last Authentication… message, empty if there was none.
    const std::string &authentication() const { return authentication_; }
    uint32_t key_pid() const { return key_pid_; }
    uint32_t key_secret() const { return key_secret_; }

  private:
    static constexpr char kTypes[] = "RSKZ123CDEINATVGHWcdnstv";

    void note(char type, std::string_view body) {
        FieldReader fields(body);
        switch (type) {
        case 'R': authentication_ = body; return;
        case 'N':
        case 'A':
        case 'v': return;
        case 'K':
            key_pid_ = fields.u32();
            key_secret_ = fields.u32();
            return;
        case 'S': {
            const std::string name(fields.string());
            reported_[name] = fields.string();
            return;
        }
        case 'E': {
            const ServerReport report = read_report(body);
            fatal_ = fatal_ || report.fatal();
            entries_.push_back("E " + std::string(report.sqlstate) + " " + std::string(report.message));
            return;
        }
        case 'Z': ready_count_++; [[fallthrough]];
        default: entries_.push_back(type + (" " + std::string(body))); return;
        }
    }

    std::string in_;
    std::string authentication_;
    std::vector<std::string> entries_;
    std::map<std::string, std::string> reported_;
    size_t ready_count_ = 0;
    uint32_t key_pid_ = 0;
    uint32_t key_secret_ = 0;
    bool begun_ = false;
    bool fatal_ = false;
    bool broken_ = false;
};

} // namespace pgbalancer::test
