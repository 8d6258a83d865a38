// position_sample.h: what one server said about its place in the write-ahead log. A value.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace pgbalancer {

// A row of pg_stat_replication.
struct WalSenderRow {
    std::string application_name;
    std::string state;
    std::string sync_state;
};

struct PositionSample {
    int64_t asked_us = 0; // monotonic, before the question was sent
    bool in_recovery = false;
    // Of a primary: the end of all it has written, on disk or not. Of a standby: of what it has replayed. 0 = not
    // known.
    uint64_t lsn = 0;
    // Of a primary: the timeline it writes. Of a standby: the one it receives. 0 = not known.
    uint32_t timeline = 0;

    // Of a standby:
    uint64_t received_lsn = 0;
    int32_t receiver_pid = 0; // its WAL receiver, if it works; 0 = none
    int64_t replay_age_us =
        -1; // since the commit of the transaction replayed last, by the clocks of two servers; -1 = none

    // Of a primary; empty without the right to see them.
    std::vector<WalSenderRow> senders;
};

} // namespace pgbalancer
