#include "runtime/train/checkpoint.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/strip.h"
#include "runtime/core/hash.h"
#include "runtime/train/checkpoint_folder.h"
#include "runtime/train/checkpoint_parts.h"
#include "runtime/train/weights_hash.h"

namespace lockstep::train {
namespace {

constexpr char kCounterPrefix[] = "counter.";

// A rank-0 tensor over `value`, or a byte vector; the value must outlive it.
NamedTensor CounterTensor(const std::string& name, const CounterValue& value) {
  NamedTensor tensor{absl::StrCat(kCounterPrefix, name), DType::kI64, Shape(), nullptr};
  if (const auto* integer = std::get_if<int64_t>(&value)) {
    tensor.data = integer;
  } else if (const auto* real = std::get_if<double>(&value)) {
    tensor.dtype = DType::kF64;
    tensor.data = real;
  } else {
    const auto& raw = std::get<std::string>(value);
    tensor.dtype = DType::kU8;
    tensor.shape = Shape({static_cast<int64_t>(raw.size())});
    tensor.data = raw.data();
  }
  return tensor;
}

// Whether the file is of the manifest's own save: files of two checkpoints, each whole, make none together.
absl::Status CheckOrigin(const Manifest& manifest, const std::string& name, const SafetensorsView& view) {
  if (manifest.save_id.empty()) return absl::OkStatus();  // written before headers said it
  const auto value = [&](const char* key) {
    const auto found = view.metadata.find(key);
    return found == view.metadata.end() ? "(none)" : found->second;
  };
  const std::string step = value(kStepMetadata), save = value(kSaveMetadata);
  if (step != absl::StrCat(manifest.step)) {
    return CheckpointError(absl::StrCat(name, " is of step ", step, ", the manifest of step ", manifest.step,
                                        ": files of two checkpoints are mixed"));
  }
  if (save == manifest.save_id) return absl::OkStatus();
  return CheckpointError(absl::StrCat(name, " is of the save ", save, ", the manifest of ", manifest.save_id,
                                      ": files of two checkpoints of one step are mixed"));
}

// The manifest's word on one file against the file itself: sizes, header, and each tensor in both directions.
absl::Status CheckFile(const ManifestFile& entry, const SafetensorsFile& file,
                       const std::map<std::string, const ManifestTensor*>& expected) {
  const SafetensorsView& view = file.view();
  if (Crc32c(0, file.bytes().data(), view.header_bytes) != entry.header_crc32c) {
    return CheckpointError(absl::StrCat(entry.name, ": the header is damaged"));
  }
  int64_t found = 0;
  for (const NamedTensor& tensor : view.tensors) {
    const auto at = expected.find(tensor.name);
    if (at == expected.end() || at->second->file != entry.name) {
      return CheckpointError(absl::StrCat(entry.name, ": tensor '", tensor.name, "' is not in the manifest"));
    }
    ++found;
    const ManifestTensor& want = *at->second;
    if (want.dtype != tensor.dtype || want.shape != tensor.shape) {
      return CheckpointError(absl::StrCat(
          entry.name, ": tensor '", tensor.name, "' is ", NameOf(tensor.dtype), " ", tensor.shape.ToString(),
          "; the manifest says ", NameOf(want.dtype), " ", want.shape.ToString()));
    }
    if (Crc32c(0, tensor.data, tensor.size_bytes()) != want.crc32c) {
      return CheckpointError(
          absl::StrCat(entry.name, ": tensor '", tensor.name, "' is damaged (its CRC-32C differs)"));
    }
  }
  if (!view.unreadable.empty()) {
    return CheckpointError(
        absl::StrCat(entry.name, ": tensor '", view.unreadable[0].name, "' is not in the manifest"));
  }
  // Names are unique on both sides, so something is missing exactly when the numbers differ.
  for (const auto& [name, want] : expected) found -= want->file == entry.name ? 1 : 0;
  if (found == 0) return absl::OkStatus();
  for (const auto& [name, want] : expected) {
    if (want->file != entry.name || file.Find(name) != nullptr) continue;
    return CheckpointError(absl::StrCat(entry.name, ": tensor '", name, "' is missing"));
  }
  return absl::OkStatus();
}

absl::Status CheckSize(FileSystem* fs, const std::string& folder, const ManifestFile& entry) {
  if (entry.name.empty() || absl::StrContains(entry.name, "/")) {
    return CheckpointError(absl::StrCat("the manifest names a file '", entry.name, "'"));
  }
  ASSIGN_OR_RETURN(const auto probe, fs->Open(JoinPath(folder, entry.name)));
  if (probe->size_bytes() == entry.size_bytes) return absl::OkStatus();
  return CheckpointError(absl::StrCat(entry.name, " has ", probe->size_bytes(),
                                      " bytes; it was written with ", entry.size_bytes));
}

absl::StatusOr<SafetensorsFile> OpenChecked(FileSystem* fs, const std::string& folder,
                                            const Manifest& manifest, const ManifestFile& entry,
                                            const std::map<std::string, const ManifestTensor*>& expected) {
  ASSIGN_OR_RETURN(SafetensorsFile file,
                   SafetensorsFile::Open(fs, JoinPath(folder, entry.name), SafetensorsFile::Access::kRead));
  RETURN_IF_ERROR(CheckOrigin(manifest, entry.name, file.view()));
  RETURN_IF_ERROR(CheckFile(entry, file, expected));
  return file;
}

absl::Status CheckIndex(FileSystem* fs, const std::string& folder, const ManifestFile& entry) {
  ASSIGN_OR_RETURN(const std::string text, ReadWholeFile(fs, JoinPath(folder, entry.name)));
  if (Crc32c(0, text.data(), text.size()) == entry.header_crc32c) return absl::OkStatus();
  return CheckpointError(absl::StrCat(entry.name, " is damaged (its CRC-32C differs)"));
}

// Tensor files that the manifest does not name came from elsewhere.
absl::Status CheckNoStrangers(FileSystem* fs, const std::string& folder, const Manifest& manifest) {
  ASSIGN_OR_RETURN(const auto present, fs->List(folder));
  for (const FileInfo& file : present) {
    if (!IsTensorFileName(file.name) && !IsIndexName(file.name)) continue;
    const bool named = std::any_of(manifest.files.begin(), manifest.files.end(),
                                   [&](const ManifestFile& entry) { return entry.name == file.name; });
    if (named) continue;
    return CheckpointError(
        absl::StrCat(file.name, " is not in the manifest: files of two checkpoints are mixed"));
  }
  return absl::OkStatus();
}

// The two hashes over everything, so that what each file's checksums cannot see is seen too.
absl::Status CheckHashes(const Manifest& manifest, const TrainTensors& tensors) {
  const StateHashes hashes = HashState(tensors, manifest.step, manifest.position, manifest.counters);
  if (hashes.weights_sha256 != manifest.weights_sha256) {
    return CheckpointError(absl::StrCat("weights_sha256 is ", hashes.weights_sha256, ", the manifest says ",
                                        manifest.weights_sha256));
  }
  if (hashes.state_sha256 == manifest.state_sha256) return absl::OkStatus();
  return CheckpointError(
      absl::StrCat("state_sha256 is ", hashes.state_sha256, ", the manifest says ", manifest.state_sha256));
}

// Sorts the tensors of all files into what they are to the run.
absl::Status SortByRole(const std::vector<SafetensorsFile>& files,
                        const std::map<std::string, const ManifestTensor*>& expected, TrainTensors* tensors) {
  std::map<std::string, NamedTensor> found;
  for (const SafetensorsFile& file : files) {
    for (const NamedTensor& tensor : file.view().tensors) found[tensor.name] = tensor;
  }
  for (const auto& [name, want] : expected) {
    const auto at = found.find(name);
    if (at == found.end()) return CheckpointError(absl::StrCat("tensor '", name, "' is in no file"));
    NamedTensor tensor = at->second;
    switch (want->role) {
      case TensorRole::kParameter:
        tensors->parameters.push_back(tensor);
        break;
      case TensorRole::kBuffer:
        tensors->buffers.push_back(tensor);
        break;
      case TensorRole::kOptimizer:
        tensors->optimizer.push_back(tensor);
        break;
      case TensorRole::kEma:
        tensor.name = std::string(absl::StripPrefix(tensor.name, kEmaPrefix));
        tensors->ema.push_back(tensor);
        break;
    }
  }
  return absl::OkStatus();
}

// Any trouble with a checkpoint is a checkpoint's trouble, whatever made it.
absl::Status AsCheckpointError(const absl::Status& status, const std::string& path) {
  if (status.ok() || TroubleOf(status) == Trouble::kCheckpoint) return status;
  return CheckpointError(absl::StrCat("checkpoint ", path, ": ", status.message()));
}

std::string RejectedText(const std::vector<RejectedCheckpoint>& rejected) {
  std::string text;
  for (const RejectedCheckpoint& one : rejected) absl::StrAppend(&text, "\n  ", one.reason);
  return text;
}

}  // namespace

StateHashes HashState(const TrainTensors& tensors, int64_t step, int64_t position, const Counters& counters) {
  Counters all = counters;
  all["step"] = step;
  all["position"] = position;
  std::vector<NamedTensor> state;
  for (const auto* list : {&tensors.parameters, &tensors.buffers, &tensors.optimizer}) {
    state.insert(state.end(), list->begin(), list->end());
  }
  for (NamedTensor tensor : tensors.ema) {
    tensor.name = kEmaPrefix + tensor.name;
    state.push_back(std::move(tensor));
  }
  for (const auto& [name, value] : all) state.push_back(CounterTensor(name, value));
  return {TensorsSha256(tensors.parameters), TensorsSha256(state)};
}

absl::StatusOr<LoadedCheckpoint> LoadCheckpoint(FileSystem* fs, const std::string& path) {
  LoadedCheckpoint loaded;
  loaded.path_ = path;
  const auto load = [&]() -> absl::Status {
    ASSIGN_OR_RETURN(const std::string text, ReadWholeFile(fs, JoinPath(path, kManifestName)));
    ASSIGN_OR_RETURN(loaded.manifest_,
                     ParseManifest(text, absl::StrCat("checkpoint ", path, ": ", kManifestName)));
    std::map<std::string, const ManifestTensor*> expected;
    for (const ManifestTensor& tensor : loaded.manifest_.tensors) expected[tensor.name] = &tensor;
    if (expected.size() != loaded.manifest_.tensors.size())
      return CheckpointError("the manifest repeats a tensor");
    RETURN_IF_ERROR(CheckNoStrangers(fs, path, loaded.manifest_));
    for (const ManifestFile& entry : loaded.manifest_.files) {
      RETURN_IF_ERROR(CheckSize(fs, path, entry));
      if (IsIndexName(entry.name)) {
        RETURN_IF_ERROR(CheckIndex(fs, path, entry));
        continue;
      }
      ASSIGN_OR_RETURN(SafetensorsFile file, OpenChecked(fs, path, loaded.manifest_, entry, expected));
      loaded.files_.push_back(std::move(file));
    }
    RETURN_IF_ERROR(SortByRole(loaded.files_, expected, &loaded.tensors_));
    RETURN_IF_ERROR(CheckHashes(loaded.manifest_, loaded.tensors_));
    return absl::OkStatus();
  };
  absl::Status status = load();
  if (!status.ok() && !absl::StrContains(status.message(), path))
    status = Annotate(status, loaded.Describe());
  RETURN_IF_ERROR(AsCheckpointError(status, path));
  return loaded;
}

absl::StatusOr<FoundCheckpoint> FindCheckpoint(FileSystem* fs, const std::string& run_folder) {
  const std::string folder = CheckpointsFolder(run_folder);
  FoundCheckpoint found;
  ASSIGN_OR_RETURN(const auto steps, ListCheckpointFolders(fs, folder));
  for (auto step = steps.rbegin(); step != steps.rend(); ++step) {
    auto loaded = LoadCheckpoint(fs, CheckpointPath(folder, *step));
    if (loaded.ok() && loaded->manifest().step != *step) {
      loaded = CheckpointError(
          absl::StrCat(loaded->Describe(), ": its manifest says step ", loaded->manifest().step));
    }
    if (loaded.ok()) {
      found.checkpoint = *std::move(loaded);
      return found;
    }
    if (IsNewerFormat(loaded.status())) return loaded.status();
    found.rejected.push_back({CheckpointPath(folder, *step), std::string(loaded.status().message())});
  }
  if (found.rejected.empty()) return found;
  return CheckpointError(
      absl::StrCat("none of the checkpoints in ", folder, " can be loaded:", RejectedText(found.rejected),
                   "\nGive another folder, or start anew with --resume never in a new one"));
}

absl::StatusOr<FoundCheckpoint> ResolveCheckpoint(FileSystem* fs, const std::string& path) {
  if (fs->Exists(JoinPath(path, kManifestName))) {
    FoundCheckpoint found;
    ASSIGN_OR_RETURN(found.checkpoint, LoadCheckpoint(fs, path));
    return found;
  }
  ASSIGN_OR_RETURN(FoundCheckpoint found, FindCheckpoint(fs, path));
  if (!found.checkpoint) {
    return CheckpointError(absl::StrCat(path, " is neither a checkpoint (it has no ", kManifestName,
                                        ") nor a run folder with one (no checkpoints/step-*)"));
  }
  return found;
}

}  // namespace lockstep::train
