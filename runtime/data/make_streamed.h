// Records made one after another into the files that a MakeTarget asks for: one record in memory at a time, and what is broken off
// goes on where it was. Shared by what makes records from inputs that are larger than memory.
#ifndef LOCKSTEP_RUNTIME_DATA_MAKE_STREAMED_H_
#define LOCKSTEP_RUNTIME_DATA_MAKE_STREAMED_H_

#include <cstdint>
#include <functional>
#include <ostream>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "runtime/data/make_records.h"

namespace lockstep::data {

struct MakePart {
  std::string suffix;          // of the target's `out`: "", "-train" or "-test"
  int shards = 1;              // unless the target limits files
  std::vector<int64_t> items;  // a record each, in this order
};

struct MakeJob {
  std::string identity;  // what the records are a function of: inputs (names, sizes, times) and options
  std::string unit;      // for people: "pictures"
  std::vector<MakePart> parts;
  // Takes a record's bytes to `write`, whose error it returns.
  using Write = std::function<absl::Status(absl::string_view record)>;
  std::function<absl::Status(int64_t item, const Write& write)> record;
};

// Writes a line a file to `out`, and every few seconds how far it is. While it works there is OUT.making: a job that finds it with its own
// identity passes over the files that are there already, which are whole since each has its name only then. A job of another
// identity deletes files of the names that it will write, and begins anew. With `shard_bytes` nothing is kept of what was broken off, since
// how many files there will be is not known before. Errors: ConfigError for a part of fewer records than files.
absl::Status MakeStreamed(FileSystem* fs, const MakeJob& job, const MakeTarget& target, std::ostream& out);

}  // namespace lockstep::data

#endif  // LOCKSTEP_RUNTIME_DATA_MAKE_STREAMED_H_
