// The flight recorder on disk: what a rank writes when its communicator fails, for `lockstep comm explain`.
//
// Format, version 1: JSON lines (UTF-8, one object a line). The first line is of the rank:
//   lockstep_comm_dump  1, the version
//   rank, size, generation, backend
//   world               16 hexadecimal digits, the same on all ranks of this communicator and on no other
//   failure, failed_ns  the sticky failure, and when
//   calls               issued in all; the last of them follow, at most 4,096, oldest first
//   collectives         issued in all: the sequence of the next one
// Every further line is of a call:
//   call                "all_reduce", ...; the rest of what ranks compare: sequence, op, type, count
//                       (elements), root, lanes, wire, parts (a hash of the counts of v-forms), asked (the
//                       algorithm that the caller wished)
//   to, from            of messages between two ranks, else -1; their sequence counts those of the pair
//   ran                 the algorithm that was chosen; "auto" where there was no choice
//   state               "queued", "running", "done", "failed"
//   background          whether the progress thread ran it
//   issued_ns, started_ns, ended_ns   0: not yet
// Moments are nanoseconds since 1970 by the clock of the rank's machine.
#ifndef LOCKSTEP_COMM_DUMP_H_
#define LOCKSTEP_COMM_DUMP_H_

#include <cstdint>
#include <string>
#include <vector>

#include "comm/recorder.h"
#include "runtime/core/log.h"

namespace lockstep::comm {

// Where a communicator writes its dump; the last path element is made by DumpName.
struct DumpOptions {
  std::string path;       // "": nowhere
  std::string world;      // as in the format
  Logger* log = nullptr;  // borrowed for the communicator's life; may be null
};

struct Dump {
  int rank = 0, size = 1;
  uint64_t generation = 0;
  std::string backend, world, failure;
  int64_t failed = 0;  // nanoseconds since 1970
  uint64_t calls = 0, collectives = 0;
  std::vector<CallRecord> records;
};

inline constexpr size_t kMaxDumpBytes = size_t{8} << 20;

// "comm-dump-rank-3.jsonl"; with the generation where it is not 0, and `group` where it is not empty.
std::string DumpName(int rank, uint64_t generation, const std::string& group);

std::string SerializeDump(const Dump& dump);
// Of untrusted text. Error: DataError naming `name`, the line and what is wrong with it.
absl::StatusOr<Dump> ParseDump(absl::string_view text, const std::string& name);

// Writes over what is there. Error: of the file system.
absl::Status WriteDump(const Dump& dump, const std::string& path);
// Error: ConfigError when there is no such file, DataError as of ParseDump.
absl::StatusOr<Dump> ReadDump(const std::string& path);

}  // namespace lockstep::comm

#endif  // LOCKSTEP_COMM_DUMP_H_
