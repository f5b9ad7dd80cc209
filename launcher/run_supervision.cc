#include "launcher/run_supervision.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "runtime/train/run_folder.h"

namespace lockstep::launcher {
namespace {

absl::StatusOr<std::string> OutOf(const std::vector<std::string>& arguments) {
  for (size_t i = 0; i < arguments.size(); ++i) {
    absl::string_view word = arguments[i];
    if (word == "--out" && i + 1 < arguments.size()) return arguments[i + 1];
    if (absl::ConsumePrefix(&word, "--out=")) return std::string(word);
  }
  return ConfigError("launch --elastic: the ranks' command has no --out, the folder that they write to");
}

}  // namespace

absl::StatusOr<std::unique_ptr<FileLock>> SuperviseRun(const std::vector<std::string>& arguments) {
  ASSIGN_OR_RETURN(const std::string out, OutOf(arguments));
  FileSystem* fs = RealFileSystem();
  const absl::Status made = fs->CreateFolders(out);
  if (!made.ok()) return ConfigError(absl::StrCat("--out: ", made.message()));
  auto lock = fs->Lock(train::RunPaths(out).supervisor());
  if (lock.ok()) return lock;
  if (!absl::IsAlreadyExists(lock.status())) return ConfigError(lock.status().message());
  return ConfigError(
      absl::StrCat(out,
                   " has a supervisor already: another `lockstep launch --elastic` runs there; "
                   "stop that one, or give another --out"));
}

}  // namespace lockstep::launcher
