// pooler_commands.h: SHOW POOL_… and EXPLAIN ROUTE, statements that pgbalancer answers itself (pgpool manual, "SQL type
// commands"; column names and their order are pgpool's, ours come after them). Any worker sees all workers.
#pragma once

#include <string>
#include <string_view>

namespace pgbalancer {

class Session;
struct PoolerCommand;

// The answer to one command: a result of text columns. Made of what is in shared memory when the rows are asked for.
class PoolerAnswer {
  public:
    PoolerAnswer(const PoolerCommand &command, Session &session, std::string_view text)
        : command_(command), session_(session), text_(text) {}

    void append_description(std::string &out) const; // RowDescription
    void append_rows(std::string &out) const;        // DataRows and CommandComplete

  private:
    const PoolerCommand &command_;
    Session &session_;
    std::string_view text_;
};

bool is_pooler_command(std::string_view text);
// Cheap: false where is_pooler_command() would be false of any text that begins so.
bool may_be_pooler_command(std::string_view text);
// Of a text for which is_pooler_command() is true; `text` must outlive the answer.
PoolerAnswer answer_pooler_command(std::string_view text, Session &session);

} // namespace pgbalancer
