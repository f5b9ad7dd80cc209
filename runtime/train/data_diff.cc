#include "runtime/train/data_diff.h"

#include <algorithm>
#include <map>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace lockstep::train {
namespace {

using data::FileFacts;

// A name, and how many of that name came before: two folders may have a file of one name each.
using Key = std::pair<std::string, int>;

std::vector<std::pair<Key, FileFacts>> FilesOf(absl::Span<const ManifestDataFile> files, bool validation) {
  std::vector<std::pair<Key, FileFacts>> listed;
  std::map<std::string, int> seen;
  for (const ManifestDataFile& data : files) {
    if (data.validation != validation) continue;
    listed.push_back({{data.file.name, seen[data.file.name]++}, data.file});
  }
  return listed;
}

std::string Size(const FileFacts& file) {
  return absl::StrCat(" (", file.size_bytes, " bytes, ", file.records, " records)");
}

// Empty: the same.
std::string Change(const FileFacts& before, const FileFacts& after) {
  std::vector<std::string> parts;
  if (before.size_bytes != after.size_bytes)
    parts.push_back(absl::StrCat(before.size_bytes, " bytes -> ", after.size_bytes));
  if (before.records != after.records)
    parts.push_back(absl::StrCat(before.records, " records -> ", after.records));
  if (parts.empty() && before.content_hash != after.content_hash) {
    parts.push_back(absl::StrCat("other contents (hash ", absl::Hex(before.content_hash, absl::kZeroPad16),
                                 " -> ", absl::Hex(after.content_hash, absl::kZeroPad16), ")"));
  }
  return absl::StrJoin(parts, ", ");
}

}  // namespace

std::vector<std::string> DataDiff(absl::Span<const ManifestDataFile> before,
                                  absl::Span<const ManifestDataFile> after, bool validation, size_t most) {
  const auto old_files = FilesOf(before, validation), new_files = FilesOf(after, validation);
  std::map<Key, FileFacts> gone(old_files.begin(), old_files.end());
  std::vector<std::string> lines;
  for (const auto& [key, file] : new_files) {
    const auto was = gone.find(key);
    if (was == gone.end()) {
      lines.push_back(absl::StrCat(file.name, ": new", Size(file)));
      continue;
    }
    const std::string change = Change(was->second, file);
    if (!change.empty()) lines.push_back(absl::StrCat(file.name, ": ", change));
    gone.erase(was);
  }
  for (const auto& [key, file] : old_files) {
    if (gone.count(key) > 0) lines.push_back(absl::StrCat(file.name, ": gone", Size(file)));
  }
  const auto same_name = [](const auto& a, const auto& b) { return a.first == b.first; };
  if (lines.empty() &&
      !std::equal(old_files.begin(), old_files.end(), new_files.begin(), new_files.end(), same_name))
    lines.push_back("the same files in another order");
  if (lines.size() > most) {
    const size_t more = lines.size() - most;
    lines.resize(most);
    lines.push_back(absl::StrCat("and ", more, " more"));
  }
  return lines;
}

}  // namespace lockstep::train
