#include "runtime/data/make_streamed.h"

#include <algorithm>
#include <numeric>

#include "absl/strings/str_format.h"
#include "runtime/core/clock.h"
#include "runtime/core/hash.h"
#include "runtime/data/record_index.h"
#include "runtime/data/record_shards.h"
#include "runtime/data/record_writer.h"

namespace lockstep::data {
namespace {

constexpr double kProgressSeconds = 5;

class Progress {
 public:
  Progress(int64_t total, std::string unit, std::ostream* out)
      : total_(total), unit_(std::move(unit)), out_(out) {}
  void Done(int64_t count, bool made) {
    done_ += count;
    made_ += made ? count : 0;
    const double now = MonotonicSeconds();
    if (now - told_ < kProgressSeconds) return;
    told_ = now;
    *out_ << absl::StreamFormat("%d of %d %s, %.0f a second\n", done_, total_, unit_,
                                static_cast<double>(made_) / (now - start_))
          << std::flush;
  }

 private:
  const int64_t total_;
  const std::string unit_;
  std::ostream* const out_;
  const double start_ = MonotonicSeconds();
  double told_ = start_;
  int64_t done_ = 0, made_ = 0;
};

// A file that will be, and the items in it.
struct PlannedFile {
  std::string path;
  absl::Span<const int64_t> items;
};

int64_t TotalOf(const MakeJob& job) {
  return std::accumulate(
      job.parts.begin(), job.parts.end(), int64_t{0},
      [](int64_t sum, const MakePart& part) { return sum + static_cast<int64_t>(part.items.size()); });
}

absl::StatusOr<std::vector<PlannedFile>> PlanFiles(const MakeJob& job, const MakeTarget& target) {
  std::vector<PlannedFile> files;
  for (const MakePart& part : job.parts) {
    const std::string prefix = absl::StrCat(target.out, part.suffix);
    const auto size = static_cast<int64_t>(part.items.size()), limit = target.shard_records;
    const int64_t shards = limit > 0 ? std::max<int64_t>(1, (size + limit - 1) / limit) : part.shards;
    if (size < std::max<int64_t>(1, shards))
      return ConfigError(absl::StrCat(prefix, ": ", size, " ", job.unit, " cannot fill ", shards, " files"));
    int64_t begin = 0;
    for (int64_t shard = 0; shard < shards; ++shard) {
      const int64_t dealt = size / shards + (shard < size % shards ? 1 : 0);
      const int64_t count = limit > 0 ? std::min(limit, size - begin) : dealt;
      files.push_back(
          {ShardName(prefix, shard, shards, target.compression),
           absl::MakeConstSpan(part.items).subspan(static_cast<size_t>(begin), static_cast<size_t>(count))});
      begin += count;
    }
  }
  return files;
}

void Tell(const std::string& path, int64_t records, uint64_t bytes, std::ostream& out) {
  out << path << ": " << records << " records, " << bytes << " bytes\n";
}

RecordWriterOptions FileOptions(const MakeTarget& target) { return {target.compression, target.write_index}; }

absl::Status WriteFile(FileSystem* fs, const MakeJob& job, const MakeTarget& target, const PlannedFile& file,
                       Progress* progress, std::ostream& out) {
  ASSIGN_OR_RETURN(const auto writer, RecordWriter::Create(fs, file.path, FileOptions(target)));
  for (const int64_t item : file.items) {
    RETURN_IF_ERROR(job.record(item, [&](absl::string_view record) { return writer->Write(record); }));
    progress->Done(1, true);
  }
  RETURN_IF_ERROR(writer->Close());
  Tell(file.path, writer->records(), writer->stored_bytes(), out);
  return absl::OkStatus();
}

absl::Status WriteBySize(FileSystem* fs, const MakeJob& job, const MakeTarget& target, std::ostream& out) {
  Progress progress(TotalOf(job), job.unit, &out);
  for (const MakePart& part : job.parts) {
    ShardedRecordWriter writer(fs, absl::StrCat(target.out, part.suffix),
                               {target.shard_records, target.shard_bytes, FileOptions(target)});
    for (const int64_t item : part.items) {
      RETURN_IF_ERROR(job.record(item, [&](absl::string_view record) { return writer.Write(record); }));
      progress.Done(1, true);
    }
    ASSIGN_OR_RETURN(const std::vector<Shard> shards, writer.Close());
    for (const Shard& shard : shards) Tell(shard.path, shard.records, shard.bytes, out);
  }
  return absl::OkStatus();
}

// Whether a job like this one was broken off; else its traces are made, and nothing of an older one is left to be taken for its own.
absl::StatusOr<bool> GoesOn(FileSystem* fs, const std::string& trace, const std::string& identity,
                            const std::vector<PlannedFile>& files) {
  if (fs->Exists(trace)) {
    const auto before = ReadWholeFile(fs, trace);
    if (before.ok() && *before == identity) return true;
  }
  for (const PlannedFile& file : files) {
    for (const std::string& path : {file.path, IndexPathOf(file.path)}) {
      if (fs->Exists(path)) RETURN_IF_ERROR(fs->Delete(path));
    }
  }
  RETURN_IF_ERROR(WriteFileAtomically(fs, trace, identity));
  return false;
}

}  // namespace

absl::Status MakeStreamed(FileSystem* fs, const MakeJob& job, const MakeTarget& target, std::ostream& out) {
  RETURN_IF_ERROR(fs->CreateFolders(ParentFolder(target.out)));
  if (target.shard_bytes > 0) return WriteBySize(fs, job, target, out);
  ASSIGN_OR_RETURN(const std::vector<PlannedFile> files, PlanFiles(job, target));
  std::string names;
  for (const PlannedFile& file : files) absl::StrAppend(&names, file.path, " ", file.items.size(), "\n");
  const std::string identity = absl::StrCat(Sha256Hex(absl::StrCat(job.identity, "\n", names)), "\n");
  const std::string trace = absl::StrCat(target.out, ".making");
  ASSIGN_OR_RETURN(const bool goes_on, GoesOn(fs, trace, identity, files));
  Progress progress(TotalOf(job), job.unit, &out);
  for (const PlannedFile& file : files) {
    const bool indexed = !target.write_index || fs->Exists(IndexPathOf(file.path));
    if (goes_on && fs->Exists(file.path) && indexed) {
      out << file.path << ": was finished before\n";
      progress.Done(static_cast<int64_t>(file.items.size()), false);
    } else {
      RETURN_IF_ERROR(WriteFile(fs, job, target, file, &progress, out));
    }
  }
  return fs->Delete(trace);
}

}  // namespace lockstep::data
