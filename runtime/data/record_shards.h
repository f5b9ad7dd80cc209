// Writes records to as many files as their number or size asks for.
#ifndef LOCKSTEP_RUNTIME_DATA_RECORD_SHARDS_H_
#define LOCKSTEP_RUNTIME_DATA_RECORD_SHARDS_H_

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "runtime/core/file_system.h"
#include "runtime/core/status.h"
#include "runtime/data/record_writer.h"

namespace lockstep::data {

struct ShardOptions {
  int64_t most_records = 0;  // of a file; 0: any number
  int64_t most_bytes = 0;  // of a file with framing, before compression; 0: any. A larger record has its own
  RecordWriterOptions file = {};
};

struct Shard {
  std::string path;
  int64_t records = 0;
  uint64_t bytes = 0;  // of the file
};

// Not thread-safe. Files are PREFIX-00000-of-00012.tfrecord and so on, with the ending of their compression
// behind. How many there will be is known last, so until Close they are PREFIX-00000.tmp and so on, whole and
// durable one after another; destruction without Close deletes them. Close gives them their names in order,
// so what is found under such a name is always whole, and the last one has its name only when all have.
class ShardedRecordWriter {
 public:
  ShardedRecordWriter(FileSystem* fs, std::string prefix, ShardOptions options)
      : fs_(fs), prefix_(std::move(prefix)), options_(options) {}

  absl::Status Write(absl::string_view payload);
  // Error: ConfigError when nothing was written.
  absl::StatusOr<std::vector<Shard>> Close();

 private:
  bool Full(size_t payload_bytes) const;

  FileSystem* const fs_;
  const std::string prefix_;
  const ShardOptions options_;
  std::vector<std::unique_ptr<RecordWriter>> writers_;  // sealed, apart from the last
};

// "PREFIX-00003-of-00012.tfrecord" and the ending of `compression`.
std::string ShardName(absl::string_view prefix, int64_t shard, int64_t shards, Compression compression);

}  // namespace lockstep::data

#endif  // LOCKSTEP_RUNTIME_DATA_RECORD_SHARDS_H_
