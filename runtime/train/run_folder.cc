#include "runtime/train/run_folder.h"

#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <optional>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "runtime/core/clock.h"
#include "runtime/train/checkpoint_folder.h"

namespace lockstep::train {
namespace {

constexpr absl::Duration kLockPoll = absl::Milliseconds(100);

// "process 123", as far as the lock file tells.
std::string HolderText(FileSystem* fs, const std::string& lock_path) {
  auto text = ReadWholeFile(fs, lock_path);
  if (!text.ok() || text->empty() || text->size() > 64) return "another process";
  return absl::StrCat("process ", absl::StripSuffix(*text, "\n"));
}

absl::StatusOr<std::unique_ptr<FileLock>> WaitForLock(FileSystem* fs, const RunPaths& paths, Logger* logger,
                                                      absl::Duration wait) {
  const Deadline deadline = Deadline::After(wait);
  bool said = false;
  while (true) {
    auto lock = fs->Lock(paths.lock());
    if (lock.ok() || !absl::IsAlreadyExists(lock.status())) return lock;
    const std::string holder = HolderText(fs, paths.lock());
    if (deadline.Passed()) {
      return ConfigError(absl::StrCat(paths.folder, " is in use: ", holder,
                                      " is still training in it; stop that run, or give another --out"));
    }
    if (!said) {
      logger->Info(absl::StrCat(paths.folder, " is in use by ", holder, "; waiting up to ",
                                absl::FormatDuration(wait), " for it to end"));
      said = true;
    }
    absl::SleepFor(std::min(kLockPoll, deadline.Left()));
  }
}

// Writes who holds the lock into its file, in place: replacing the file would leave the lock on the old one.
absl::Status NameHolder(FileSystem* fs, const std::string& lock_path) {
  char host[256] = "";
  ::gethostname(host, sizeof host - 1);
  ASSIGN_OR_RETURN(auto file, fs->Create(lock_path));
  RETURN_IF_ERROR(file->Append(absl::StrCat(::getpid(), " on ", host, "\n")));
  return file->Close();
}

// The step of a whole line of ours, without its newline. A torn line has lost its end; one that a power cut
// spoiled may hold zeros anywhere.
std::optional<int64_t> StepOfLine(absl::string_view line) {
  if (!absl::EndsWith(line, "}") || line.find('\0') != absl::string_view::npos) return std::nullopt;
  if (!absl::ConsumePrefix(&line, "{\"step\": ")) return std::nullopt;
  int64_t step = 0;
  const auto end = std::from_chars(line.data(), line.data() + line.size(), step);
  if (end.ec != std::errc() || end.ptr == line.data() + line.size()) return std::nullopt;
  return *end.ptr == ',' || *end.ptr == '}' ? std::optional<int64_t>(step) : std::nullopt;
}

}  // namespace

absl::Status CutLines(FileSystem* fs, const std::string& path, int64_t step) {
  auto contents = ReadWholeFile(fs, path);
  if (absl::IsNotFound(contents.status())) return absl::OkStatus();
  RETURN_IF_ERROR(contents.status());
  size_t kept_bytes = 0;  // the lines that stay are moved to the front
  bool gap = false;
  for (size_t begin = 0; begin < contents->size();) {
    const size_t newline = contents->find('\n', begin);
    if (newline == std::string::npos) break;
    const size_t length = newline + 1 - begin;
    const auto found = StepOfLine(absl::string_view(*contents).substr(begin, length - 1));
    if (found && *found <= step) {
      gap |= kept_bytes != begin;
      if (gap) contents->replace(kept_bytes, length, *contents, begin, length);
      kept_bytes += length;
    }
    begin = newline + 1;
  }
  if (kept_bytes == contents->size()) return absl::OkStatus();
  if (gap) return WriteFileAtomically(fs, path, absl::string_view(*contents).substr(0, kept_bytes));
  RETURN_IF_ERROR(fs->Truncate(path, kept_bytes));
  ASSIGN_OR_RETURN(auto file, fs->OpenForAppend(path));
  RETURN_IF_ERROR(file->Sync());
  return file->Close();
}

absl::StatusOr<LastLines> CutTail(FileSystem* fs, const std::string& path, int64_t step) {
  RETURN_IF_ERROR(CutLines(fs, path, step));
  LastLines last;
  const auto contents = ReadWholeFile(fs, path);
  if (absl::IsNotFound(contents.status())) return last;
  RETURN_IF_ERROR(contents.status());
  for (const absl::string_view line : absl::StrSplit(*contents, '\n', absl::SkipEmpty())) {
    const std::optional<int64_t> found = StepOfLine(line);
    if (!found) continue;
    int64_t& newest = absl::StrContains(line, "\"eval\": {") ? last.eval : last.step;
    newest = std::max(newest, *found);
  }
  return last;
}

absl::StatusOr<RunFolder> RunFolder::TakeOver(FileSystem* fs, const std::string& folder, Logger* logger,
                                              absl::Duration wait) {
  RunFolder run(fs, folder);
  const Deadline deadline = Deadline::After(wait);
  while (run.lock_ == nullptr && !deadline.Passed()) {
    auto lock = fs->Lock(run.paths_.lock());
    if (lock.ok()) {
      run.lock_ = *std::move(lock);
    } else if (!absl::IsAlreadyExists(lock.status())) {
      return lock.status();
    } else {
      absl::SleepFor(kLockPoll);
    }
  }
  if (run.lock_ != nullptr) {
    const absl::Status named = NameHolder(fs, run.paths_.lock());
    if (!named.ok()) logger->Warning(named.message());
  } else {
    logger->Warning(absl::StrCat("the lock of ", folder, " is still that of ",
                                 HolderText(fs, run.paths_.lock()),
                                 ", which was voted out of the run; going on without"));
  }
  const absl::Status cleaned = RemoveLeftovers(fs, run.paths_.checkpoints());
  if (!cleaned.ok())
    logger->Warning(absl::StrCat("leftovers of a half-written checkpoint stay: ", cleaned.message()));
  return run;
}

absl::StatusOr<RunFolder> RunFolder::Open(FileSystem* fs, const std::string& folder, Logger* logger,
                                          absl::Duration wait) {
  RunFolder run(fs, folder);
  if (!fs->Exists(folder)) {
    const absl::Status made = fs->CreateFolders(folder);
    if (!made.ok()) return ConfigError(absl::StrCat("cannot make the output folder: ", made.message()));
    RETURN_IF_ERROR(fs->SyncFolder(ParentFolder(folder)));
  }
  auto lock = WaitForLock(fs, run.paths_, logger, wait);
  if (!lock.ok() && TroubleOf(lock.status()) == Trouble::kInternal) {
    return ConfigError(absl::StrCat("cannot write to the output folder: ", lock.status().message()));
  }
  RETURN_IF_ERROR(lock.status());
  run.lock_ = *std::move(lock);
  // A full disk must not keep a run from being looked at or resumed elsewhere; the lock itself holds.
  const absl::Status named = NameHolder(fs, run.paths_.lock());
  if (!named.ok()) logger->Warning(named.message());
  const absl::Status cleaned = RemoveLeftovers(fs, run.paths_.checkpoints());
  if (!cleaned.ok()) logger->Warning(absl::StrCat("leftovers of an earlier run stay: ", cleaned.message()));
  return run;
}

void RunFolder::ForgetResult(Logger* logger) {
  if (!fs_->Exists(paths_.result())) return;
  const absl::Status deleted = fs_->Delete(paths_.result());
  if (!deleted.ok()) logger->Warning(absl::StrCat("an earlier start's result stays: ", deleted.message()));
}

absl::Status RunFolder::WriteConfig(absl::string_view resolved_text) {
  return WriteFileAtomically(fs_, paths_.config(), resolved_text);
}

absl::Status RunFolder::CutBack(int64_t step, Logger* logger) {
  RETURN_IF_ERROR(CutLines(fs_, paths_.metrics(), step));
  RETURN_IF_ERROR(CutLines(fs_, paths_.ledger(), step));
  ASSIGN_OR_RETURN(const auto aside, SetAsideAfter(fs_, paths_.checkpoints(), step));
  for (const std::string& path : aside) {
    logger->Warning(
        absl::StrCat("a later checkpoint is set aside as ", path, "; delete it when it is not needed"));
  }
  return absl::OkStatus();
}

}  // namespace lockstep::train
