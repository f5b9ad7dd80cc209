#include "runtime/data/dataset.h"

#include <algorithm>

#include "runtime/core/hash.h"

namespace lockstep::data {
namespace {

absl::StatusOr<std::vector<std::string>> ListFiles(FileSystem* fs, absl::Span<const std::string> patterns) {
  std::vector<std::string> paths;
  for (const std::string& pattern : patterns) {
    auto matches = Glob(fs, pattern);
    if (!matches.ok()) return DataError(matches.status().message());
    for (std::string& path : *matches) {
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

}  // namespace

absl::StatusOr<std::shared_ptr<const Dataset>> Dataset::Open(FileSystem* fs,
                                                             absl::Span<const std::string> patterns) {
  ASSIGN_OR_RETURN(const std::vector<std::string> paths, ListFiles(fs, patterns));
  std::shared_ptr<Dataset> dataset(new Dataset);
  Sha256 hash;
  for (const std::string& path : paths) {
    ASSIGN_OR_RETURN(auto file, RecordFile::Open(fs, path));
    const std::string name = NameOfPath(path);
    hash.UpdateU64(name.size());
    hash.Update(name);
    hash.UpdateU64(file->bytes().size());
    hash.UpdateU64(static_cast<uint64_t>(file->records()));
    hash.UpdateU64(file->index().content_hash());
    dataset->first_ids_.push_back(dataset->size() + file->records());
    dataset->files_.push_back(std::move(file));
  }
  dataset->fingerprint_ = hash.Hex();
  return std::shared_ptr<const Dataset>(std::move(dataset));
}

int64_t Dataset::size_bytes() const {
  int64_t total = 0;
  for (const auto& file : files_) total += static_cast<int64_t>(file->bytes().size());
  return total;
}

Dataset::Location Dataset::Locate(int64_t id) const {
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

}  // namespace lockstep::data
