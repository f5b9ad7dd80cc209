// From the dumps of several ranks (comm/dump.h) to the place where they parted.
#ifndef LOCKSTEP_COMM_EXPLAIN_H_
#define LOCKSTEP_COMM_EXPLAIN_H_

#include <string>
#include <vector>

#include "absl/types/span.h"
#include "comm/dump.h"

namespace lockstep::comm {

inline constexpr size_t kMaxDumps = 1024;

// Of one rank; `name` is the file's, for errors.
struct NamedDump {
  std::string name;
  Dump dump;
};

// A text of some lines for people: the first collective at which the ranks called different things, or that
// some had done or were in while others were not; who waited for whom; which ranks left no dump; and who
// failed first, with its text. Error: DataError for dumps of different communicators, or two of one rank.
absl::StatusOr<std::string> ExplainDumps(absl::Span<const NamedDump> dumps);

// Reads and explains. Error: ConfigError, DataError naming the file.
absl::StatusOr<std::string> ExplainFiles(absl::Span<const std::string> paths);

}  // namespace lockstep::comm

#endif  // LOCKSTEP_COMM_EXPLAIN_H_
