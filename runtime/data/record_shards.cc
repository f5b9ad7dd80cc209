#include "runtime/data/record_shards.h"

#include <utility>

#include "absl/strings/str_format.h"

namespace lockstep::data {

std::string ShardName(absl::string_view prefix, int64_t shard, int64_t shards, Compression compression) {
  return absl::StrFormat("%s-%05d-of-%05d.tfrecord%s", prefix, shard, shards, SuffixOf(compression));
}

bool ShardedRecordWriter::Full(size_t payload_bytes) const {
  const RecordWriter& writer = *writers_.back();
  if (options_.most_records > 0 && writer.records() >= options_.most_records) return true;
  return options_.most_bytes > 0 && writer.records() > 0 &&
         writer.plain_bytes() + payload_bytes + kRecordFramingBytes >
             static_cast<uint64_t>(options_.most_bytes);
}

absl::Status ShardedRecordWriter::Write(absl::string_view payload) {
  if (writers_.empty() || Full(payload.size())) {
    if (!writers_.empty()) RETURN_IF_ERROR(writers_.back()->Seal());
    const std::string path = absl::StrFormat("%s-%05d", prefix_, writers_.size());
    ASSIGN_OR_RETURN(auto writer, RecordWriter::Create(fs_, path, options_.file));
    writers_.push_back(std::move(writer));
  }
  return writers_.back()->Write(payload);
}

absl::StatusOr<std::vector<Shard>> ShardedRecordWriter::Close() {
  if (writers_.empty()) return ConfigError(absl::StrCat(prefix_, ": there is no record to write"));
  RETURN_IF_ERROR(writers_.back()->Seal());
  std::vector<Shard> shards;
  const auto count = static_cast<int64_t>(writers_.size());
  for (int64_t i = 0; i < count; ++i) {
    RecordWriter& writer = *writers_[static_cast<size_t>(i)];
    const std::string path = ShardName(prefix_, i, count, options_.file.compression);
    RETURN_IF_ERROR(writer.Publish(path));
    shards.push_back({path, writer.records(), writer.stored_bytes()});
  }
  writers_.clear();
  return shards;
}

}  // namespace lockstep::data
