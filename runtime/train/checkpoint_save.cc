#include "runtime/train/checkpoint_save.h"

#include <algorithm>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "runtime/core/clock.h"
#include "runtime/core/hash.h"
#include "runtime/train/checkpoint_folder.h"

namespace lockstep::train {
namespace {

constexpr size_t kSaveIdDigits = 16;

std::string IdOf(absl::string_view text) { return Sha256Hex(text).substr(0, kSaveIdDigits); }

absl::Status WriteManifest(FileSystem* fs, const std::string& folder, const Manifest& manifest) {
  const std::string text = SerializeManifest(manifest);
  ASSIGN_OR_RETURN(auto file, fs->Create(JoinPath(folder, kManifestName)));
  RETURN_IF_ERROR(file->Append(text));
  RETURN_IF_ERROR(file->Sync());
  return file->Close();
}

uint64_t BytesOf(const Manifest& manifest) {
  uint64_t size_bytes = 0;
  for (const ManifestFile& file : manifest.files) size_bytes += file.size_bytes;
  return size_bytes;
}

// Gives the finished temporary folder its name, in place of a checkpoint of that step that may be there
// already.
absl::Status Commit(FileSystem* fs, const std::string& folder, const std::string& temporary, int64_t step) {
  const std::string path = CheckpointPath(folder, step);
  const std::string replaced = ReplacedPath(folder, step);
  const bool replaces = fs->Exists(path);
  if (replaces) RETURN_IF_ERROR(fs->Rename(path, replaced));
  const absl::Status renamed = fs->Rename(temporary, path);
  if (!renamed.ok()) {
    if (replaces) (void)fs->Rename(replaced, path);  // RemoveLeftovers does it at the next start otherwise
    return renamed;
  }
  return fs->SyncFolder(folder);
}

// Whether the same state is there already, whole: a resumed run that reaches the step of a later checkpoint.
bool AlreadyThere(FileSystem* fs, SaveOutcome* outcome) {
  if (!fs->Exists(outcome->path)) return false;
  const auto loaded = LoadCheckpoint(fs, outcome->path);
  if (!loaded.ok() || loaded->manifest().state_sha256 != outcome->hashes.state_sha256) return false;
  outcome->size_bytes = BytesOf(loaded->manifest());
  return true;
}

// The temporary folder of a save: with several writers it has the save's id in its name.
std::string TemporaryOf(const CheckpointWriterOptions& options, const Manifest& manifest) {
  return TemporaryPath(options.folder, manifest.step, options.team.shards > 1 ? manifest.save_id : "");
}

// First of all, for the other writers wait for it.
absl::Status MakeTemporary(const CheckpointWriterOptions& options, const std::string& temporary) {
  FileSystem* fs = options.fs;
  if (!fs->Exists(options.folder)) {
    RETURN_IF_ERROR(fs->CreateFolders(options.folder));
    RETURN_IF_ERROR(fs->SyncFolder(ParentFolder(options.folder)));
  }
  RETURN_IF_ERROR(RemoveLeftovers(fs, options.folder));
  return fs->CreateFolders(temporary);
}

// Before the manifest vouches for what others have written: it is there, as long as they said.
absl::Status CheckPresent(FileSystem* fs, const std::string& folder, const Manifest& manifest) {
  for (const ManifestFile& entry : manifest.files) {
    ASSIGN_OR_RETURN(const auto file, fs->Open(JoinPath(folder, entry.name)));
    if (file->size_bytes() == entry.size_bytes) continue;
    return CheckpointError(absl::StrCat(JoinPath(folder, entry.name), " has ", file->size_bytes(),
                                        " bytes; its writer announced ", entry.size_bytes));
  }
  return absl::OkStatus();
}

bool IsHere(const NamedTensor& tensor) { return tensor.data != nullptr || tensor.size_bytes() == 0; }

// With a sharded optimizer the other writers' moments are in their files alone.
bool AllHere(const TrainTensors& tensors) {
  return std::all_of(tensors.optimizer.begin(), tensors.optimizer.end(), IsHere);
}

void EnterHashes(const StateHashes& hashes, Manifest* manifest, SaveOutcome* outcome) {
  outcome->hashes = hashes;
  manifest->weights_sha256 = hashes.weights_sha256;
  manifest->state_sha256 = hashes.state_sha256;
}

// The hashes of the state, some of whose tensors are read back from the files of their writers.
absl::StatusOr<StateHashes> HashWithFiles(FileSystem* fs, const std::string& folder, const Manifest& manifest,
                                          TrainTensors tensors) {
  std::vector<SafetensorsFile> files;
  std::map<std::string, const NamedTensor*> found;
  for (const ManifestFile& entry : manifest.files) {
    ASSIGN_OR_RETURN(SafetensorsFile file, SafetensorsFile::Open(fs, JoinPath(folder, entry.name),
                                                                 SafetensorsFile::Access::kMapped));
    files.push_back(std::move(file));
  }
  for (const SafetensorsFile& file : files) {
    for (const NamedTensor& tensor : file.view().tensors) found[tensor.name] = &tensor;
  }
  std::map<std::string, uint32_t> announced;
  for (const ManifestTensor& tensor : manifest.tensors) announced[tensor.name] = tensor.crc32c;
  for (NamedTensor& tensor : tensors.optimizer) {
    if (IsHere(tensor)) continue;
    const auto at = found.find(tensor.name);
    if (at == found.end() || at->second->size_bytes() != tensor.size_bytes() ||
        Crc32c(0, at->second->data, tensor.size_bytes()) != announced[tensor.name]) {
      return CheckpointError(absl::StrCat("tensor '", tensor.name,
                                          "' reads back from its file in other bytes than were written"));
    }
    tensor.data = at->second->data;
  }
  return HashState(tensors, manifest.step, manifest.position, manifest.counters);
}

absl::Status WriteAndCommit(const CheckpointWriterOptions& options, Manifest manifest,
                            const TrainTensors& tensors, SaveOutcome* outcome) {
  FileSystem* fs = options.fs;
  const int shards = options.team.shards;
  const std::string temporary = TemporaryOf(options, manifest);
  if (shards == 1) RETURN_IF_ERROR(MakeTemporary(options, temporary));  // else it is there
  const std::vector<CheckpointPart> parts = DivideState(tensors, shards);
  for (const CheckpointPart& part : parts) {
    if (part.shard == 0) RETURN_IF_ERROR(WritePart(fs, temporary, part, &manifest));
  }
  if (shards > 1) {
    ASSIGN_OR_RETURN(const auto others, AwaitShards(fs, temporary, shards, options.team.patience));
    for (int shard = 1; shard < shards; ++shard) {
      RETURN_IF_ERROR(EnterShard(others[shard - 1], shard, parts, &manifest));
    }
    RETURN_IF_ERROR(CheckPresent(fs, temporary, manifest));
    RETURN_IF_ERROR(DeleteMessages(fs, temporary, shards));
  }
  if (!AllHere(tensors)) {
    ASSIGN_OR_RETURN(const StateHashes hashes, HashWithFiles(fs, temporary, manifest, tensors));
    EnterHashes(hashes, &manifest, outcome);
  }
  RETURN_IF_ERROR(WriteIndexes(fs, temporary, &manifest));
  const bool plain = std::none_of(manifest.files.begin(), manifest.files.end(),
                                  [](const ManifestFile& file) { return IsIndexName(file.name); });
  manifest.format_version = plain ? 1 : kCheckpointFormatVersion;
  RETURN_IF_ERROR(WriteManifest(fs, temporary, manifest));
  outcome->size_bytes = BytesOf(manifest);
  RETURN_IF_ERROR(fs->SyncFolder(temporary));
  if (options.before_commit) RETURN_IF_ERROR(options.before_commit(manifest.step));
  return Commit(fs, options.folder, temporary, manifest.step);
}

absl::Status Finish(const CheckpointWriterOptions& options, int64_t step, bool best) {
  if (best) RETURN_IF_ERROR(WriteBest(options.fs, options.folder, step));
  RETURN_IF_ERROR(RemoveLeftovers(options.fs, options.folder));
  return Prune(options.fs, options.folder, options.keep_last, step, options.keep_every_steps).status();
}

absl::Status WriteShard(const CheckpointWriterOptions& options, Manifest* manifest,
                        const std::vector<CheckpointPart>& parts) {
  const std::string temporary = TemporaryOf(options, *manifest);
  RETURN_IF_ERROR(AwaitFolder(options.fs, temporary, options.team.patience));
  absl::Status written;
  for (const CheckpointPart& part : parts) {
    if (written.ok()) written = WritePart(options.fs, temporary, part, manifest);
  }
  const int shard = options.team.shard, shards = options.team.shards;
  if (written.ok()) {
    written = AnnounceShard(options.fs, temporary, shard, shards, *manifest);
  } else {
    for (const CheckpointPart& part : parts) (void)options.fs->Delete(JoinPath(temporary, part.name));
  }
  if (written.ok()) return written;
  AnnounceFailure(options.fs, temporary, shard, shards, written);
  return written;
}

}  // namespace

std::string SaveIdOf(const std::string& nonce, int64_t step) {
  return IdOf(absl::StrCat("save ", nonce, " ", step));
}

SaveOutcome SaveCheckpoint(const CheckpointWriterOptions& options, Manifest manifest,
                           const TrainTensors& tensors, bool best) {
  const double start = MonotonicSeconds();
  const bool alone = options.team.shards == 1;
  SaveOutcome outcome;
  outcome.step = manifest.step;
  outcome.path = CheckpointPath(options.folder, manifest.step);
  // The other writers wait for the folder, so it comes before the hashes.
  if (!alone) {
    manifest.save_id = SaveIdOf(options.team.nonce, manifest.step);
    outcome.status = MakeTemporary(options, TemporaryOf(options, manifest));
  }
  if (AllHere(tensors)) {
    EnterHashes(HashState(tensors, manifest.step, manifest.position, manifest.counters), &manifest, &outcome);
  }
  // Alone, the id is of the state: the same state gives the same files.
  if (alone) manifest.save_id = IdOf("state " + manifest.state_sha256);
  if (manifest.wall_time.empty())
    manifest.wall_time = absl::FormatTime(absl::RFC3339_sec, absl::Now(), absl::UTCTimeZone());
  const std::string save_id = alone ? "" : manifest.save_id;
  if (alone && AlreadyThere(options.fs, &outcome)) {
    if (options.before_commit) outcome.status = options.before_commit(manifest.step);
  } else if (outcome.status.ok()) {
    outcome.status = WriteAndCommit(options, std::move(manifest), tensors, &outcome);
  }
  if (outcome.status.ok()) {
    outcome.after_commit = Finish(options, outcome.step, best);
  } else {
    outcome.status =
        CheckpointError(outcome.status.message());  // whatever it was, it is the checkpoint's trouble
    // What a failing disk leaves behind now, the next save or start removes.
    (void)DeleteTemporary(options.fs, options.folder, outcome.step, save_id);
  }
  outcome.seconds = MonotonicSeconds() - start;
  return outcome;
}

SaveOutcome SaveShard(const CheckpointWriterOptions& options, Manifest manifest,
                      const std::vector<CheckpointPart>& parts) {
  const double start = MonotonicSeconds();
  SaveOutcome outcome;
  outcome.step = manifest.step;
  outcome.path = CheckpointPath(options.folder, manifest.step);
  manifest.save_id = SaveIdOf(options.team.nonce, manifest.step);
  const absl::Status written = WriteShard(options, &manifest, parts);
  // Where rank 0 has given the save up, it says why; that the folder is gone is no trouble of this rank's.
  const auto* abandoned = options.team.patience.abandoned;
  const bool over = abandoned != nullptr && abandoned->load();
  if (!written.ok() && !over && !absl::IsNotFound(written))
    outcome.status = CheckpointError(written.message());
  outcome.size_bytes = BytesOf(manifest);
  outcome.seconds = MonotonicSeconds() - start;
  return outcome;
}

}  // namespace lockstep::train
