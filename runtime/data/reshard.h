// The same records in other files.
#ifndef LOCKSTEP_RUNTIME_DATA_RESHARD_H_
#define LOCKSTEP_RUNTIME_DATA_RESHARD_H_

#include <optional>
#include <ostream>
#include <string>
#include <vector>

#include "runtime/data/make_records.h"

namespace lockstep::data {

// Deals the records of all files, in their order or shuffled, to the files that `target` asks for: `lockstep records shard`.
// Payloads are copied as they are, their checksums compared; goes on where it was broken off (make_streamed.h). Error: DataError naming what
// is missing or damaged, or a target that is one of the sources.
absl::Status ReshardRecords(FileSystem* fs, const std::vector<std::string>& patterns,
                            std::optional<uint64_t> shuffle, const MakeTarget& target, std::ostream& out);

// All records in one file `path`, in the order of the files: `lockstep records merge`.
absl::Status MergeRecords(FileSystem* fs, const std::vector<std::string>& patterns, const std::string& path,
                          Compression compression, std::ostream& out);

}  // namespace lockstep::data

#endif  // LOCKSTEP_RUNTIME_DATA_RESHARD_H_
