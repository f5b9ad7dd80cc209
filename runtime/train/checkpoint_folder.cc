#include "runtime/train/checkpoint_folder.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"
#include "runtime/train/checkpoint.h"
#include "runtime/train/checkpoint_parts.h"

namespace lockstep::train {
namespace {

constexpr char kStepPrefix[] = "step-";
constexpr char kTemporaryPrefix[] = ".tmp-";
constexpr char kReplacedPrefix[] = ".replaced-";
constexpr char kSetAsidePrefix[] = "set-aside-";
constexpr char kBestName[] = "best";
constexpr size_t kStepDigits = 8;
constexpr size_t kSaveIdDigits = 16;

// Deletes the files that a checkpoint consists of, the manifest first, and the folder if that leaves it
// empty. Files that are not ours stay, and the folder with them.
absl::Status DeleteContents(FileSystem* fs, const std::string& path) {
  const absl::Status manifest = fs->Delete(JoinPath(path, kManifestName));
  if (!manifest.ok() && !absl::IsNotFound(manifest)) return manifest;
  ASSIGN_OR_RETURN(const auto files, fs->List(path));
  bool empty = true;
  for (const FileInfo& file : files) {
    if (file.is_folder || !IsCheckpointFileName(file.name)) {
      empty = false;
      continue;
    }
    const absl::Status status = fs->Delete(JoinPath(path, file.name));
    if (!status.ok() && !absl::IsNotFound(status)) return status;
  }
  return empty ? fs->Delete(path) : absl::OkStatus();
}

bool IsSaveId(absl::string_view text) {
  return text.size() == kSaveIdDigits &&
         text.find_first_not_of("0123456789abcdef") == absl::string_view::npos;
}

// Steps of the folders named <prefix>step-N.
absl::StatusOr<std::vector<int64_t>> StepsNamed(FileSystem* fs, const std::string& folder,
                                                absl::string_view prefix) {
  const auto files = fs->List(folder);
  if (absl::IsNotFound(files.status())) return std::vector<int64_t>();
  RETURN_IF_ERROR(files.status());
  std::vector<int64_t> steps;
  for (const FileInfo& file : *files) {
    absl::string_view name = file.name;
    if (!file.is_folder || !absl::ConsumePrefix(&name, prefix)) continue;
    if (const auto step = StepOfName(name)) steps.push_back(*step);
  }
  std::sort(steps.begin(), steps.end());
  return steps;
}

// Names of the folders of saves under way: <prefix>step-N or <prefix>step-N.<save id>.
absl::StatusOr<std::vector<std::string>> TemporaryNames(FileSystem* fs, const std::string& folder) {
  const auto files = fs->List(folder);
  if (absl::IsNotFound(files.status())) return std::vector<std::string>();
  RETURN_IF_ERROR(files.status());
  std::vector<std::string> names;
  for (const FileInfo& file : *files) {
    absl::string_view name = file.name;
    if (!file.is_folder || !absl::ConsumePrefix(&name, kTemporaryPrefix)) continue;
    const size_t dot = name.find('.');
    const bool ours = dot == name.npos || IsSaveId(name.substr(dot + 1));
    if (ours && StepOfName(name.substr(0, dot))) names.push_back(file.name);
  }
  return names;
}

std::string Prefixed(const std::string& folder, absl::string_view prefix, int64_t step) {
  return JoinPath(folder, absl::StrCat(prefix, CheckpointName(step)));
}

}  // namespace

std::string CheckpointName(int64_t step) { return absl::StrFormat("%s%08d", kStepPrefix, step); }

std::optional<int64_t> StepOfName(absl::string_view name) {
  int64_t step = 0;
  absl::string_view digits = name;
  if (!absl::ConsumePrefix(&digits, kStepPrefix) || digits.size() < kStepDigits) return std::nullopt;
  if (!absl::SimpleAtoi(digits, &step) || step < 0 || CheckpointName(step) != name) return std::nullopt;
  return step;
}

std::string CheckpointsFolder(const std::string& run_folder) { return JoinPath(run_folder, "checkpoints"); }

std::string CheckpointPath(const std::string& checkpoints_folder, int64_t step) {
  return Prefixed(checkpoints_folder, "", step);
}
std::string TemporaryPath(const std::string& checkpoints_folder, int64_t step, absl::string_view save_id) {
  return absl::StrCat(Prefixed(checkpoints_folder, kTemporaryPrefix, step), save_id.empty() ? "" : ".",
                      save_id);
}
std::string ReplacedPath(const std::string& checkpoints_folder, int64_t step) {
  return Prefixed(checkpoints_folder, kReplacedPrefix, step);
}

absl::StatusOr<std::vector<int64_t>> ListCheckpointFolders(FileSystem* fs,
                                                           const std::string& checkpoints_folder) {
  return StepsNamed(fs, checkpoints_folder, "");
}

absl::StatusOr<std::vector<int64_t>> ListCheckpoints(FileSystem* fs, const std::string& checkpoints_folder) {
  ASSIGN_OR_RETURN(std::vector<int64_t> steps, ListCheckpointFolders(fs, checkpoints_folder));
  const auto incomplete = [&](int64_t step) {
    return !fs->Exists(JoinPath(CheckpointPath(checkpoints_folder, step), kManifestName));
  };
  steps.erase(std::remove_if(steps.begin(), steps.end(), incomplete), steps.end());
  return steps;
}

absl::StatusOr<int64_t> ReadBest(FileSystem* fs, const std::string& checkpoints_folder) {
  const std::string path = JoinPath(checkpoints_folder, kBestName);
  ASSIGN_OR_RETURN(const std::string text, ReadWholeFile(fs, path));
  const auto step = StepOfName(absl::StripSuffix(text, "\n"));
  if (!step) return CheckpointError(absl::StrCat(path, " does not name a checkpoint"));
  return *step;
}

absl::Status WriteBest(FileSystem* fs, const std::string& checkpoints_folder, int64_t step) {
  return WriteFileAtomically(fs, JoinPath(checkpoints_folder, kBestName), CheckpointName(step) + "\n");
}

absl::Status RemoveLeftovers(FileSystem* fs, const std::string& checkpoints_folder) {
  ASSIGN_OR_RETURN(const auto unfinished, TemporaryNames(fs, checkpoints_folder));
  for (const std::string& name : unfinished) {
    RETURN_IF_ERROR(DeleteContents(fs, JoinPath(checkpoints_folder, name)));
  }
  const std::string best = JoinPath(checkpoints_folder, absl::StrCat(kBestName, ".tmp"));
  if (fs->Exists(best)) RETURN_IF_ERROR(fs->Delete(best));
  ASSIGN_OR_RETURN(const auto replaced, StepsNamed(fs, checkpoints_folder, kReplacedPrefix));
  // The renames must be durable before the old files go.
  if (!replaced.empty()) RETURN_IF_ERROR(fs->SyncFolder(checkpoints_folder));
  for (const int64_t step : replaced) {
    const std::string old_path = ReplacedPath(checkpoints_folder, step);
    const std::string path = CheckpointPath(checkpoints_folder, step);
    // The crash came between the two renames of a replacement: the old one goes back.
    RETURN_IF_ERROR(fs->Exists(path) ? DeleteContents(fs, old_path) : fs->Rename(old_path, path));
  }
  return absl::OkStatus();
}

absl::Status DeleteTemporary(FileSystem* fs, const std::string& checkpoints_folder, int64_t step,
                             absl::string_view save_id) {
  const std::string path = TemporaryPath(checkpoints_folder, step, save_id);
  return fs->Exists(path) ? DeleteContents(fs, path) : absl::OkStatus();
}

absl::StatusOr<std::vector<std::string>> SetAsideAfter(FileSystem* fs, const std::string& checkpoints_folder,
                                                       int64_t step) {
  ASSIGN_OR_RETURN(const auto steps, ListCheckpointFolders(fs, checkpoints_folder));
  std::vector<std::string> paths;
  for (const int64_t later : steps) {
    if (later <= step) continue;
    std::string aside = Prefixed(checkpoints_folder, kSetAsidePrefix, later);
    for (int copy = 2; fs->Exists(aside); ++copy) {
      aside = absl::StrCat(Prefixed(checkpoints_folder, kSetAsidePrefix, later), "-", copy);
    }
    RETURN_IF_ERROR(fs->Rename(CheckpointPath(checkpoints_folder, later), aside));
    paths.push_back(aside);
  }
  const auto best = ReadBest(fs, checkpoints_folder);
  const bool forget_best = best.ok() ? *best > step : TroubleOf(best.status()) == Trouble::kCheckpoint;
  if (forget_best) RETURN_IF_ERROR(fs->Delete(JoinPath(checkpoints_folder, kBestName)));
  if (forget_best || !paths.empty()) RETURN_IF_ERROR(fs->SyncFolder(checkpoints_folder));
  return paths;
}

absl::Status DeleteCheckpoint(FileSystem* fs, const std::string& checkpoints_folder, int64_t step) {
  const std::string path = CheckpointPath(checkpoints_folder, step);
  const std::string condemned = TemporaryPath(checkpoints_folder, step);
  RETURN_IF_ERROR(DeleteTemporary(fs, checkpoints_folder, step));
  RETURN_IF_ERROR(fs->Rename(path, condemned));
  // The new name must be durable before a file goes, or a power cut could leave a checkpoint without its
  // tensors.
  RETURN_IF_ERROR(fs->SyncFolder(checkpoints_folder));
  return DeleteContents(fs, condemned);
}

absl::StatusOr<std::vector<int64_t>> Prune(FileSystem* fs, const std::string& checkpoints_folder,
                                           int keep_last, int64_t just_written, int64_t keep_every_steps) {
  ASSIGN_OR_RETURN(const auto steps, ListCheckpoints(fs, checkpoints_folder));
  const auto best = ReadBest(fs, checkpoints_folder);
  // Which one is the best cannot be read: deleting any might delete that.
  if (!best.ok() && !absl::IsNotFound(best.status())) return best.status();
  std::vector<int64_t> deleted;
  const size_t kept = static_cast<size_t>(std::max(keep_last, 1));
  for (size_t i = 0; i + kept < steps.size(); ++i) {
    const bool milestone = keep_every_steps > 0 && steps[i] % keep_every_steps == 0;
    if (milestone || steps[i] == just_written || (best.ok() && steps[i] == *best)) continue;
    RETURN_IF_ERROR(DeleteCheckpoint(fs, checkpoints_folder, steps[i]));
    deleted.push_back(steps[i]);
  }
  return deleted;
}

}  // namespace lockstep::train
