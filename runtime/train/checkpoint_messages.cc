#include "runtime/train/checkpoint_messages.h"

#include <algorithm>
#include <map>
#include <optional>
#include <utility>

#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "runtime/core/clock.h"
#include "runtime/core/hash.h"

namespace lockstep::train {
namespace {

constexpr absl::Duration kFirstPoll = absl::Milliseconds(1), kLastPoll = absl::Milliseconds(50);
constexpr size_t kReasonBytes = 2000;  // of a failure that are passed on

std::string DoneName(int shard, int shards) { return ShardName(shard, shards) + ".done"; }
std::string FailedName(int shard, int shards) { return ShardName(shard, shards) + ".failed"; }

// Counts down while nothing happens.
class Waiting {
 public:
  explicit Waiting(const Patience& patience) : patience_(patience), since_(MonotonicSeconds()) {}

  // Sleeps for a moment. `sign`: anything that changes as the others get on. Error: the wait is over.
  absl::Status Pause(uint64_t sign) {
    if (patience_.abandoned != nullptr && patience_.abandoned->load()) {
      return absl::CancelledError("given up: this save is over");
    }
    const double now = MonotonicSeconds();
    if (sign != sign_) since_ = now, pause_ = kFirstPoll;
    sign_ = sign;
    const absl::Status health = patience_.health ? patience_.health() : absl::OkStatus();
    const absl::Duration limit = health.ok() ? patience_.quiet : patience_.quiet_when_sick;
    if (absl::Seconds(now - since_) >= limit) {
      return absl::DeadlineExceededError(absl::StrCat("nothing written for ", absl::FormatDuration(limit),
                                                      health.ok() ? "" : ", and: ", health.message()));
    }
    absl::SleepFor(pause_);
    pause_ = std::min(2 * pause_, kLastPoll);
    return absl::OkStatus();
  }

 private:
  const Patience& patience_;
  double since_;
  uint64_t sign_ = 0;
  absl::Duration pause_ = kFirstPoll;
};

// The message of one shard, if it is there; an error if it says that the shard failed.
absl::StatusOr<std::optional<Manifest>> ReadMessage(FileSystem* fs, const std::string& folder, int shard,
                                                    int shards) {
  const std::string failed = JoinPath(folder, FailedName(shard, shards));
  if (fs->Exists(failed)) {
    const auto reason = ReadWholeFile(fs, failed);
    return absl::UnavailableError(absl::StrCat(
        "the writer of ", ShardName(shard, shards),
        " failed: ", reason.ok() ? reason->substr(0, kReasonBytes) : std::string(reason.status().message())));
  }
  const std::string done = JoinPath(folder, DoneName(shard, shards));
  if (!fs->Exists(done)) return std::nullopt;
  ASSIGN_OR_RETURN(const std::string text, ReadWholeFile(fs, done));
  ASSIGN_OR_RETURN(Manifest manifest, ParseManifest(text, done));
  return manifest;
}

// What of `folder` grows while others write: sizes and names.
uint64_t SignOfLife(FileSystem* fs, const std::string& folder) {
  const auto files = fs->List(folder);
  if (!files.ok()) return 0;
  uint64_t sign = 1;
  for (const FileInfo& file : *files) sign += file.size_bytes + 1;
  return sign;
}

bool Same(const ManifestTensor& a, const ManifestTensor& b) {
  return a.role == b.role && a.dtype == b.dtype && a.shape == b.shape && a.file == b.file;
}

}  // namespace

absl::Status AwaitFolder(FileSystem* fs, const std::string& folder, const Patience& patience) {
  const std::string parent = ParentFolder(folder), name = folder.substr(folder.rfind('/') + 1);
  Waiting waiting(patience);
  while (true) {
    const auto files = fs->List(parent);
    if (files.ok() &&
        std::any_of(files->begin(), files->end(), [&](const FileInfo& file) { return file.name == name; })) {
      return absl::OkStatus();
    }
    const absl::Status paused = waiting.Pause(1);
    if (!paused.ok()) return Annotate(paused, absl::StrCat("rank 0 has not made ", folder));
  }
}

absl::Status AnnounceShard(FileSystem* fs, const std::string& folder, int shard, int shards,
                           const Manifest& manifest) {
  // All that can fail comes before the rename: from then on rank 0 may commit, and the shard must stay.
  RETURN_IF_ERROR(fs->SyncFolder(folder));
  const std::string done = JoinPath(folder, DoneName(shard, shards)), temporary = done + ".tmp";
  ASSIGN_OR_RETURN(auto file, fs->Create(temporary));
  RETURN_IF_ERROR(file->Append(SerializeManifest(manifest)));
  RETURN_IF_ERROR(file->Close());  // a message, read once, by a process that lives: not synced
  return fs->Rename(temporary, done);
}

void AnnounceFailure(FileSystem* fs, const std::string& folder, int shard, int shards,
                     const absl::Status& status) {
  (void)WriteFileAtomically(fs, JoinPath(folder, FailedName(shard, shards)), status.message());
}

absl::StatusOr<std::vector<Manifest>> AwaitShards(FileSystem* fs, const std::string& folder, int shards,
                                                  const Patience& patience) {
  std::map<int, Manifest> arrived;
  Waiting waiting(patience);
  while (true) {
    for (int shard = 1; shard < shards; ++shard) {
      if (arrived.count(shard) != 0) continue;
      ASSIGN_OR_RETURN(auto message, ReadMessage(fs, folder, shard, shards));
      if (message) arrived.emplace(shard, *std::move(message));
    }
    if (static_cast<int>(arrived.size()) == shards - 1) break;
    const absl::Status paused = waiting.Pause(SignOfLife(fs, folder));
    if (paused.ok()) continue;
    std::vector<std::string> missing;
    for (int shard = 1; shard < shards; ++shard) {
      if (arrived.count(shard) == 0) missing.push_back(ShardName(shard, shards));
    }
    return Annotate(paused, absl::StrCat(absl::StrJoin(missing, ", "), " not there"));
  }
  std::vector<Manifest> manifests;
  for (auto& [shard, manifest] : arrived) manifests.push_back(std::move(manifest));
  return manifests;
}

absl::Status EnterShard(const Manifest& announced, int shard, absl::Span<const CheckpointPart> parts,
                        Manifest* manifest) {
  const auto wrong = [&](const std::string& what) {
    return CheckpointError(absl::StrCat("the shard that writer ", shard, " announced ", what));
  };
  if (announced.save_id != manifest->save_id || announced.step != manifest->step) {
    return wrong(absl::StrCat("is of step ", announced.step, ", save ", announced.save_id, ", not of step ",
                              manifest->step, ", save ", manifest->save_id));
  }
  std::map<std::string, const ManifestTensor*> theirs;
  for (const ManifestTensor& tensor : announced.tensors) theirs[tensor.name] = &tensor;
  size_t files = 0, tensors = 0;
  for (const CheckpointPart& part : parts) {
    if (part.shard != shard) continue;
    const auto file = std::find_if(announced.files.begin(), announced.files.end(),
                                   [&](const ManifestFile& entry) { return entry.name == part.name; });
    if (file == announced.files.end()) return wrong(absl::StrCat("lacks ", part.name));
    manifest->files.push_back(*file);
    ++files;
    for (const PartTensor& entry : part.tensors) {
      const NamedTensor& own = entry.tensor;
      ManifestTensor want{own.name, entry.role, own.dtype, own.shape, part.name, 0};
      const auto found = theirs.find(own.name);
      if (found == theirs.end() || !Same(*found->second, want)) {
        return wrong(absl::StrCat("lacks tensor '", own.name, "', or has it otherwise"));
      }
      const bool here = own.data != nullptr || own.size_bytes() == 0;
      want.crc32c = here ? Crc32c(0, own.data, own.size_bytes()) : found->second->crc32c;
      if (found->second->crc32c != want.crc32c) {
        return wrong(absl::StrCat("has other bytes in tensor '", own.name,
                                  "' than rank 0 has in memory: the replicas have parted"));
      }
      manifest->tensors.push_back(want);
      ++tensors;
    }
  }
  if (files != announced.files.size() || tensors != announced.tensors.size()) {
    return wrong("has more files or tensors than the state");
  }
  return absl::OkStatus();
}

absl::Status DeleteMessages(FileSystem* fs, const std::string& folder, int shards) {
  for (int shard = 1; shard < shards; ++shard) {
    RETURN_IF_ERROR(fs->Delete(JoinPath(folder, DoneName(shard, shards))));
  }
  return absl::OkStatus();
}

}  // namespace lockstep::train
