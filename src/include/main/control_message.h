// control_message.h: what the supervisor and its children say to each other.
//
// Every child has one socketpair(AF_UNIX, SOCK_SEQPACKET) to the supervisor: a packet is a message,
// a message is a ControlHeader and its fixed-size body, in the host's byte order. Both ends are the same binary of the
// same fork tree, but length and type are checked all the same; a message with leftovers or an unknown type is fatal to
// the receiver if it is a child, and to the child if the supervisor receives it. End of file on a child's side means
// the supervisor died: exit at once.
#pragma once

#include <cstdint>

namespace pgbalancer {

enum class ControlType : uint16_t {
    // supervisor → child
    shut_down = 1,   // ShutDownBody
    reload = 2,      // no body; one descriptor (SCM_RIGHTS): a sealed memfd with the configuration's text
    reopen_logs = 3, // no body
    cancel = 4,      // CancelBody: also worker → supervisor, which passes it to the owner
    // child → supervisor
    ready = 16,         // no body: the child serves
    node_suspect = 17,  // NodeBody: a connection to that node failed; passed on to health, which probes it at once
    facts_changed = 18, // no body: DDL was seen (the supervisor bumps nothing; it is in shared memory). Reserved.
    reload_done = 19,   // no body
    drained = 20,       // no body: smart shutdown, the last session of this worker has gone
    node_report = 21,   // NodeBody, from health only: the node's observation in shared memory has changed
};

enum class ShutDownMode : uint8_t { smart, fast, immediate };

struct ControlHeader {
    uint16_t type;
    uint16_t reserved;
    uint32_t length; // of the body
};

struct ShutDownBody {
    ShutDownMode mode;
};

// A cancel request whose key belongs to a session of another worker.
struct CancelBody {
    uint32_t worker;
    uint32_t worker_generation;
    uint32_t session; // index in that worker's session table
    uint32_t key_pid;
    uint32_t key_secret;
};

struct NodeBody {
    int32_t node; // index in the node table
};

} // namespace pgbalancer
