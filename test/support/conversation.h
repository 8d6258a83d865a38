// conversation.h: a server's side of one connection, without the socket: bytes in, bytes out.
#pragma once

#include <string>
#include <string_view>

namespace pgbalancer::test {

class Conversation {
  public:
    virtual ~Conversation() = default;
    // What the server says to these bytes. Called once with nothing when the connection is made.
    virtual std::string take(std::string_view bytes) = 0;
    // It hangs up when what it said has been sent.
    virtual bool over() const { return false; }
};

} // namespace pgbalancer::test
