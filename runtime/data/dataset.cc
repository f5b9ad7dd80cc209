#include "runtime/data/dataset.h"

#include <algorithm>
#include <numeric>
#include <set>

#include "absl/strings/match.h"
#include "runtime/core/hash.h"
#include "runtime/core/thread.h"
#include "runtime/data/growing_memory.h"
#include "runtime/data/record_errors.h"
#include "runtime/data/remote/url.h"
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

// Without the folder, and without what may follow a name in an address.
std::string NameOfPath(const std::string& path) {
  const std::string shown =
      path.substr(0, absl::StartsWith(path, "http") && IsRemote(path) ? path.find('?') : path.npos);
  return shown.substr(shown.rfind('/') + 1);
}

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

namespace {

// One pattern without braces.
absl::StatusOr<std::vector<std::string>> GlobOne(FileSystem* fs, const std::string& pattern) {
  if (IsRemote(pattern)) {  // whether one file is there, opening says; in an http address '?' begins a query
    const bool s3 = absl::StartsWith(pattern, "s3://");
    if (pattern.find_first_of(s3 ? "*?" : "*") == std::string::npos) return std::vector<std::string>{pattern};
    if (!s3) return fs->List(ParentFolder(pattern)).status();  // says what to write instead
  }
  auto matches = Glob(fs, pattern);
  if (!matches.ok())
    return TroubleOf(matches.status()) == Trouble::kInternal ? DataError(matches.status().message())
                                                             : matches.status();
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

}  // namespace

absl::StatusOr<std::vector<std::string>> GlobRecords(FileSystem* fs, const std::string& pattern) {
  ASSIGN_OR_RETURN(const std::vector<std::string> patterns, ExpandBraces(pattern));
  std::vector<std::string> records;
  for (const std::string& one : patterns) {
    ASSIGN_OR_RETURN(std::vector<std::string> matches, GlobOne(fs, one));
    for (std::string& path : matches) records.push_back(std::move(path));
  }
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
  dataset->ReadFiles(options);
  if (!options.filter.empty()) RETURN_IF_ERROR(dataset->Filter(options));
  return std::shared_ptr<const Dataset>(std::move(dataset));
}

std::vector<FileFacts> Dataset::Facts() const {
  std::vector<FileFacts> facts;
  for (const auto& file : files_) {
    const std::string name = NameOfPath(file->path());
    facts.push_back({std::string(PlainName(name, file->stored().compression)), file->size_bytes(),
                     file->records(), file->index().content_hash()});
  }
  return facts;
}

void Dataset::ReadFiles(const DatasetOptions& options) {
  uint64_t mapped_bytes = 0;  // of plain files: what is decompressed stays in memory
  for (const auto& file : files_) {
    if (file->in_memory() && file->file() != nullptr) mapped_bytes += file->size_bytes();
  }
  const bool too_large = mapped_bytes > MemoryBudget::DefaultBytes();
  const bool read = options.read == ReadMode::kRead || (options.read == ReadMode::kAuto && too_large);
  std::vector<const ReadableFile*> files;
  for (const auto& file : files_) {
    is_read_.push_back(!file->in_memory() || (read && file->file() != nullptr));
    files.push_back(is_read_.back() ? file->file() : nullptr);
  }
  if (std::find(is_read_.begin(), is_read_.end(), true) == is_read_.end()) return;
  ahead_ = std::make_unique<ReadAhead>(std::move(files), options.ahead);
}

int64_t Dataset::size_bytes() const {
  int64_t total = 0;
  for (const auto& file : files_) total += static_cast<int64_t>(file->size_bytes());
  return total;
}

absl::Status Dataset::Filter(const DatasetOptions& options) {
  const int threads = options.threads > 0 ? options.threads : AvailableCores();
  const RecordFilter filter(options.filter);
  // Whoever begins a group of records announces it; KeptRecords goes through more than a group at a time, in order.
  constexpr int64_t kGroup = 512;
  std::vector<std::shared_ptr<const void>> announced(static_cast<size_t>(records() / kGroup) + 1);
  const auto announce = [&](int64_t id) {
    if (!reads() || id % kGroup != 0) return;
    std::vector<int64_t> ids(static_cast<size_t>(std::min(kGroup, records() - id)));
    std::iota(ids.begin(), ids.end(), id);
    announced[static_cast<size_t>(id / kGroup)] = Announce(ids);
  };
  auto kept = KeptRecords::Choose(records(), threads, [&](int64_t id) -> absl::StatusOr<bool> {
    announce(id);
    const absl::StatusOr<RecordView> record = Record(id);  // nothing is left out yet
    if (id % kGroup == kGroup - 1) announced[static_cast<size_t>(id / kGroup)] = nullptr;
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

ReadAhead::Wanted Dataset::PlaceOf(int64_t id) const {
  const Location at = Locate(id);
  const RecordIndex& index = files_[at.file]->index();
  const uint64_t offset = index.OffsetOf(at.record);
  return {id, {at.file, offset, index.OffsetOf(at.record + 1) - offset}};
}

absl::StatusOr<RecordView> Dataset::Record(int64_t id) const {
  const Location at = Locate(id);
  const RecordFile& file = *files_[at.file];
  if (ahead_ == nullptr || !is_read_[at.file]) return file.Record(at.record);
  ASSIGN_OR_RETURN(const RecordView read, ahead_->Read(PlaceOf(id)));
  ASSIGN_OR_RETURN(const absl::string_view payload, file.Check(at.record, read));
  return read.Part(static_cast<size_t>(payload.data() - read.data()), payload.size());
}

std::shared_ptr<const void> Dataset::Announce(absl::Span<const int64_t> ids) const {
  if (ahead_ == nullptr) return nullptr;
  std::vector<ReadAhead::Wanted> wanted;
  for (const int64_t id : ids) {
    if (is_read_[Locate(id).file]) wanted.push_back(PlaceOf(id));
  }
  return ahead_->Announce(wanted);
}

DatasetPass::DatasetPass(const Dataset* dataset, int64_t begin, int64_t end)
    : dataset_(dataset), announced_(begin), end_(end) {}

absl::StatusOr<RecordView> DatasetPass::Record(int64_t id) {
  constexpr int64_t kChunk = 512, kAhead = 4;  // records; chunks, the one in progress included
  while (dataset_->reads() && announced_ < std::min(end_, id + kAhead * kChunk)) {
    std::vector<int64_t> ids;
    while (announced_ < end_ && static_cast<int64_t>(ids.size()) < kChunk) ids.push_back(announced_++);
    tickets_.push_back({announced_, dataset_->Announce(ids)});
  }
  while (!tickets_.empty() && tickets_.front().end <= id) tickets_.pop_front();
  return dataset_->Record(id);
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
