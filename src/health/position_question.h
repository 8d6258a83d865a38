// position_question.h: the statement that asks a server for its place in the write-ahead log, and what it answers.
#pragma once

#include "health/position_sample.h"

#include <libpq-fe.h>
#include <optional>

namespace pgbalancer {

// The same for primaries and standbys. Takes no right but to connect; the timeline that a standby receives and the rows
// of pg_stat_replication are shown to members of pg_monitor only.
// Planning it costs a server several times what answering it does, so it is prepared once per connection.
extern const char *const kPreparePositionQuestion;
inline constexpr const char *kPositionQuestion = "EXECUTE pgbalancer_positions";

// All but asked_us. Nothing when it is no answer to the question. `answer` has tuples.
std::optional<PositionSample> read_position_answer(const PGresult &answer);

} // namespace pgbalancer
