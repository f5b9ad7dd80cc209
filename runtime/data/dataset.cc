#include "runtime/data/dataset.h"

#include <algorithm>
#include <set>

#include "absl/strings/match.h"
#include "runtime/core/hash.h"
#include "runtime/core/thread.h"
#include "runtime/data/growing_memory.h"
#include "runtime/data/record_errors.h"
#include "runtime/data/run_on_threads.h"

namespace lockstep::data {
namespace {

absl::StatusOr<std::vector<std::string>> ListFiles(FileSystem* fs, absl::Span<const std::string> patterns) {
  std::vector<std::string> paths;
  for (const std::string& pattern : patterns) {
    ASSIGN_OR_RETURN(std::vector<std::string> matches, GlobRecords(fs, pattern));
    for (std::string& path : matches) {
      if (std::find(paths.begin(), paths.end(), path) != paths.end()) {
        return DataError(absl::StrCat(path, " is given twice"));
      }
      paths.push_back(std::move(path));
    }
  }
  if (paths.empty()) return DataError("no record file is given");
  return paths;
}

std::string NameOfPath(const std::string& path) { return path.substr(path.rfind('/') + 1); }

// Opening hops through a file without an index, or decompresses it: several at a time.
absl::StatusOr<std::vector<std::unique_ptr<RecordFile>>> OpenAll(FileSystem* fs,
                                                                 const std::vector<std::string>& paths,
                                                                 const DatasetOptions& options) {
  RecordFileOptions file_options;
  file_options.bytes.compression = options.compression;
  file_options.bytes.budget = std::make_shared<MemoryBudget>(
      options.unpacked_limit_bytes > 0 ? options.unpacked_limit_bytes : MemoryBudget::DefaultBytes());
  std::vector<std::unique_ptr<RecordFile>> files(paths.size());
  const int threads = options.threads > 0 ? options.threads : AvailableCores();
  RETURN_IF_ERROR(RunOnThreads(threads, static_cast<int64_t>(paths.size()), [&](int64_t i) {
    ASSIGN_OR_RETURN(files[static_cast<size_t>(i)],
                     RecordFile::Open(fs, paths[static_cast<size_t>(i)], file_options));
    return absl::OkStatus();
  }));
  return files;
}

}  // namespace

absl::StatusOr<std::vector<std::string>> GlobRecords(FileSystem* fs, const std::string& pattern) {
  auto matches = Glob(fs, pattern);
  if (!matches.ok()) return DataError(matches.status().message());
  if (matches->size() == 1 && matches->front() == pattern) return matches;  // named, so it is meant
  const std::set<std::string> all(matches->begin(), matches->end());
  std::vector<std::string> records;
  for (const std::string& path : *matches) {
    const bool dali = absl::EndsWith(path, ".idx") && all.count(path.substr(0, path.size() - 4)) > 0;
    if (!dali && !absl::EndsWith(path, IndexPathOf(""))) records.push_back(path);
  }
  if (records.empty()) return DataError(absl::StrCat("only index files match ", pattern));
  return records;
}

absl::StatusOr<std::shared_ptr<const Dataset>> Dataset::Open(FileSystem* fs,
                                                             absl::Span<const std::string> patterns,
                                                             DatasetOptions options) {
  ASSIGN_OR_RETURN(const std::vector<std::string> paths, ListFiles(fs, patterns));
  std::shared_ptr<Dataset> dataset(new Dataset);
  ASSIGN_OR_RETURN(dataset->files_, OpenAll(fs, paths, options));
  Sha256 hash;
  for (const FileFacts& file : dataset->Facts()) {
    hash.UpdateU64(file.name.size());
    hash.Update(file.name);
    hash.UpdateU64(file.size_bytes);
    hash.UpdateU64(static_cast<uint64_t>(file.records));
    hash.UpdateU64(file.content_hash);
    dataset->first_ids_.push_back(dataset->records() + file.records);
  }
  dataset->fingerprint_ = hash.Hex();
  if (!options.filter.empty()) RETURN_IF_ERROR(dataset->Filter(options));
  return std::shared_ptr<const Dataset>(std::move(dataset));
}

std::vector<FileFacts> Dataset::Facts() const {
  std::vector<FileFacts> facts;
  for (const auto& file : files_) {
    const std::string name = NameOfPath(file->path());
    facts.push_back({std::string(PlainName(name, file->stored().compression)), file->bytes().size(),
                     file->records(), file->index().content_hash()});
  }
  return facts;
}

int64_t Dataset::size_bytes() const {
  int64_t total = 0;
  for (const auto& file : files_) total += static_cast<int64_t>(file->bytes().size());
  return total;
}

absl::Status Dataset::Filter(const DatasetOptions& options) {
  const int threads = options.threads > 0 ? options.threads : AvailableCores();
  const RecordFilter filter(options.filter);
  auto kept = KeptRecords::Choose(records(), threads, [&](int64_t id) -> absl::StatusOr<bool> {
    const absl::StatusOr<absl::string_view> record = Record(id);  // nothing is left out yet
    if (!record.ok() && DamageOf(record.status())) return true;
    RETURN_IF_ERROR(record.status());
    const absl::StatusOr<bool> taken = filter.Takes(*record);
    return taken.ok() ? taken : Annotate(taken.status(), Place(id));
  });
  RETURN_IF_ERROR(kept.status());
  if (kept->size() == 0) {
    return DataError(absl::StrCat(files_[0]->path(), files_.size() > 1 ? " and the other files" : "",
                                  ": none of the ", records(), " records is taken by the filter"));
  }
  kept_ = *std::move(kept);
  return absl::OkStatus();
}

Dataset::Location Dataset::Locate(int64_t id) const {
  if (kept_) id = kept_->At(id);
  const auto after = std::upper_bound(first_ids_.begin(), first_ids_.end(), id);
  const int file = static_cast<int>(after - first_ids_.begin()) - 1;
  return {file, id - first_ids_[file]};
}

absl::StatusOr<absl::string_view> Dataset::Record(int64_t id) const {
  const Location at = Locate(id);
  return files_[at.file]->Record(at.record);
}

void Dataset::Prefetch(int64_t id) const {
  const Location at = Locate(id);
  files_[at.file]->Prefetch(at.record);
}

std::string Dataset::Describe(int64_t id) const {
  const Location at = Locate(id);
  return absl::StrCat(files_[at.file]->path(), ", record ", at.record);
}

std::string Dataset::Place(int64_t id) const {
  const Location at = Locate(id);
  const RecordFile& file = *files_[at.file];
  return absl::StrCat(file.path(), ", byte ", file.index().OffsetOf(at.record), ", record ", at.record);
}

}  // namespace lockstep::data
