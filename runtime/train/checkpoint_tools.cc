#include "runtime/train/checkpoint_tools.h"

#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"
#include "runtime/train/checkpoint.h"
#include "runtime/train/checkpoint_folder.h"
#include "runtime/train/json_line.h"
#include "runtime/train/recipe_diff.h"
#include "runtime/train/tensor_diff.h"

namespace lockstep::train {
namespace {

std::string SizeText(uint64_t size_bytes) {
  const double size = static_cast<double>(size_bytes);
  if (size >= 1e9) return absl::StrFormat("%.2f GB", size / 1e9);
  if (size >= 1e6) return absl::StrFormat("%.1f MB", size / 1e6);
  return absl::StrFormat("%.1f kB", size / 1e3);
}

// The checkpoint folders that `path` means, oldest first; with `incomplete`, also those without a manifest.
absl::StatusOr<std::vector<std::string>> PathsAt(FileSystem* fs, const std::string& path, bool incomplete) {
  if (fs->Exists(JoinPath(path, kManifestName))) return std::vector<std::string>{path};
  const bool is_run = fs->Exists(CheckpointsFolder(path));  // one of that name
  if (!is_run && (path == "best" || absl::EndsWith(path, "/best"))) {
    ASSIGN_OR_RETURN(const int64_t step, ReadBest(fs, ParentFolder(path)));
    return std::vector<std::string>{CheckpointPath(ParentFolder(path), step)};
  }
  for (const std::string& folder : {CheckpointsFolder(path), path}) {
    const auto steps = incomplete ? ListCheckpointFolders(fs, folder) : ListCheckpoints(fs, folder);
    if (!steps.ok() || steps->empty()) continue;
    std::vector<std::string> paths;
    for (const int64_t step : *steps) paths.push_back(CheckpointPath(folder, step));
    return paths;
  }
  return CheckpointError(absl::StrCat(path, " holds no checkpoint: it has neither a ", kManifestName,
                                      " nor folders named step-*"));
}

absl::StatusOr<std::vector<std::string>> AllPathsAt(FileSystem* fs, absl::Span<const std::string> paths) {
  std::vector<std::string> all;
  for (const std::string& path : paths) {
    ASSIGN_OR_RETURN(const auto found, PathsAt(fs, path, /*incomplete=*/true));
    all.insert(all.end(), found.begin(), found.end());
  }
  return all;
}

absl::StatusOr<LoadedCheckpoint> LoadNewest(FileSystem* fs, const std::string& path) {
  ASSIGN_OR_RETURN(const auto paths, PathsAt(fs, path, /*incomplete=*/false));
  return LoadCheckpoint(fs, paths.back());
}

std::string ListLine(FileSystem* fs, const std::string& path) {
  const auto text = ReadWholeFile(fs, JoinPath(path, kManifestName));
  auto manifest = text.ok() ? ParseManifest(*text, kManifestName) : absl::StatusOr<Manifest>(text.status());
  if (!manifest.ok()) return absl::StrFormat("%10s  %s  damaged: %s", "?", path, manifest.status().message());
  uint64_t size_bytes = text->size();
  for (const ManifestFile& file : manifest->files) size_bytes += file.size_bytes;
  const auto loss = manifest->metrics.find("loss");
  const auto best = ReadBest(fs, ParentFolder(path));
  return absl::StrFormat("%10d  %-20s  %5d  %9s  %10s  %s%s", manifest->step,
                         manifest->wall_time.substr(0, 19), manifest->world_size, SizeText(size_bytes),
                         loss == manifest->metrics.end() ? "-" : absl::StrFormat("%.6g", loss->second), path,
                         best.ok() && *best == manifest->step ? "  best" : "");
}

// What is wrong with a checkpoint, every byte read, or OK.
absl::Status VerifyOne(FileSystem* fs, const std::string& path, std::ostream& out) {
  ASSIGN_OR_RETURN(const LoadedCheckpoint loaded, LoadCheckpoint(fs, path));
  const Manifest& manifest = loaded.manifest();
  const auto named = StepOfName(path.substr(path.rfind('/') + 1));
  if (named && *named != manifest.step) {
    return CheckpointError(absl::StrCat("its manifest says step ", manifest.step));
  }
  out << path << ": ok, step " << manifest.step << ", " << manifest.tensors.size() << " tensors in "
      << manifest.files.size() << " files, weights_sha256 " << manifest.weights_sha256 << "\n";
  return absl::OkStatus();
}

std::string Quoted(const std::string& text) { return text.empty() ? "(none)" : text; }

template <typename T>
void DiffField(std::ostream& out, const char* name, const T& before, const T& after) {
  if (before != after) out << "  " << name << ": " << before << " -> " << after << "\n";
}

FlatRecipe FlatCounters(const Counters& counters) {
  FlatRecipe flat;
  for (const auto& [name, value] : counters) {
    std::string text;
    if (const auto* integer = std::get_if<int64_t>(&value)) {
      text = absl::StrCat(*integer);
    } else if (const auto* real = std::get_if<double>(&value)) {
      text = absl::StrFormat("%.17g", *real);
    } else {
      text = JsonString(std::get<std::string>(value));
    }
    flat.emplace_back(absl::StrCat("counters.", name), std::move(text));
  }
  return flat;
}

}  // namespace

absl::Status ListCheckpointsAt(FileSystem* fs, absl::Span<const std::string> paths, std::ostream& out) {
  ASSIGN_OR_RETURN(const auto found, AllPathsAt(fs, paths));
  out << absl::StrFormat("%10s  %-20s  %5s  %9s  %10s  %s\n", "step", "written (UTC)", "ranks", "size",
                         "loss", "path");
  for (const std::string& path : found) out << ListLine(fs, path) << "\n";
  return absl::OkStatus();
}

absl::Status VerifyCheckpointsAt(FileSystem* fs, absl::Span<const std::string> paths, std::ostream& out) {
  ASSIGN_OR_RETURN(const auto found, AllPathsAt(fs, paths));
  int damaged = 0;
  for (const std::string& path : found) {
    const absl::Status status = VerifyOne(fs, path, out);
    if (status.ok()) continue;
    ++damaged;
    const std::string said = absl::StrCat("checkpoint ", path, ": ");
    out << path << ": DAMAGED: " << absl::StripPrefix(status.message(), said) << "\n";
  }
  if (damaged == 0) return absl::OkStatus();
  return CheckpointError(absl::StrCat(damaged, " of ", found.size(), " checkpoints damaged"));
}

absl::Status DiffCheckpointsAt(FileSystem* fs, const std::string& before, const std::string& after,
                               std::ostream& out) {
  ASSIGN_OR_RETURN(const LoadedCheckpoint a, LoadNewest(fs, before));
  ASSIGN_OR_RETURN(const LoadedCheckpoint b, LoadNewest(fs, after));
  const Manifest &x = a.manifest(), &y = b.manifest();
  out << a.path() << " -> " << b.path() << "\n";
  if (x.state_sha256 == y.state_sha256 && x.recipe_sha256 == y.recipe_sha256) {
    out << "  the same state (state_sha256 " << x.state_sha256 << ") of the same recipe\n";
    return absl::OkStatus();
  }
  DiffField(out, "step", x.step, y.step);
  DiffField(out, "position", x.position, y.position);
  DiffField(out, "seed", x.seed, y.seed);
  DiffField(out, "dataset", Quoted(x.dataset_fingerprint), Quoted(y.dataset_fingerprint));
  DiffField(out, "validation data", Quoted(x.validation_fingerprint), Quoted(y.validation_fingerprint));
  for (const std::string& line : RecipeDiff(FlattenText(x.recipe_text), FlattenText(y.recipe_text))) {
    out << "  recipe " << line << "\n";
  }
  for (const std::string& line : RecipeDiff(FlatCounters(x.counters), FlatCounters(y.counters))) {
    out << "  " << line << "\n";
  }
  DiffField(out, "weights_sha256", x.weights_sha256, y.weights_sha256);
  DiffField(out, "state_sha256", x.state_sha256, y.state_sha256);
  const TrainTensors &s = a.tensors(), &t = b.tensors();
  for (const std::string& line : TensorDiff(s.parameters, t.parameters))
    out << "  parameter " << line << "\n";
  for (const std::string& line : TensorDiff(s.buffers, t.buffers)) out << "  buffer " << line << "\n";
  for (const std::string& line : TensorDiff(s.optimizer, t.optimizer)) out << "  optimizer " << line << "\n";
  for (const std::string& line : TensorDiff(s.ema, t.ema)) out << "  ema " << line << "\n";
  return absl::OkStatus();
}

absl::Status ExportCheckpoint(FileSystem* fs, const std::string& path, const ExportOptions& options,
                              std::ostream& out) {
  ASSIGN_OR_RETURN(const LoadedCheckpoint loaded, LoadNewest(fs, path));
  std::vector<NamedTensor> tensors = options.ema ? loaded.tensors().ema : loaded.tensors().parameters;
  if (options.ema && tensors.empty()) {
    return CheckpointError(
        absl::StrCat(loaded.path(), " has no averaged weights; its recipe has no ema { }"));
  }
  if (options.buffers) {
    tensors.insert(tensors.end(), loaded.tensors().buffers.begin(), loaded.tensors().buffers.end());
  }
  const SafetensorsMetadata metadata = {{"format", "pt"},
                                        {"lockstep.step", absl::StrCat(loaded.manifest().step)}};
  const std::string temporary = options.file + ".tmp";
  ASSIGN_OR_RETURN(auto file, fs->Create(temporary));
  const auto write = [&]() -> absl::Status {
    ASSIGN_OR_RETURN(const SafetensorsDigest digest, WriteSafetensors(file.get(), tensors, metadata));
    RETURN_IF_ERROR(file->Sync());
    RETURN_IF_ERROR(file->Close());
    RETURN_IF_ERROR(fs->Rename(temporary, options.file));
    RETURN_IF_ERROR(fs->SyncFolder(ParentFolder(options.file)));
    out << options.file << ": " << tensors.size() << " tensors, " << SizeText(digest.size_bytes) << ", step "
        << loaded.manifest().step << "\n";
    return absl::OkStatus();
  };
  const absl::Status status = write();
  if (!status.ok()) (void)fs->Delete(temporary);
  return status;
}

}  // namespace lockstep::train
