// pooler_commands.h: SHOW POOL_…, statements that pgbalancer answers itself (pgpool manual, "SQL type commands"; column
// names and their order are pgpool's, ours come after them). Any worker sees all workers.
#pragma once

#include <string>
#include <string_view>

namespace pgbalancer {

class Worker;
struct PoolerCommand;

// The answer to one command: a result of text columns. Made of what is in shared memory when the rows are asked for.
class PoolerAnswer {
  public:
    PoolerAnswer(const PoolerCommand &command, Worker &worker) : command_(command), worker_(worker) {}

    void append_description(std::string &out) const; // RowDescription
    void append_rows(std::string &out) const;        // DataRows and CommandComplete

  private:
    const PoolerCommand &command_;
    Worker &worker_;
};

bool is_pooler_command(std::string_view text);
// Of a text for which is_pooler_command() is true.
PoolerAnswer answer_pooler_command(std::string_view text, Worker &worker);

} // namespace pgbalancer
