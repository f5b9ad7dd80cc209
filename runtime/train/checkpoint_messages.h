// What the ranks that write one checkpoint tell each other, by files in its temporary folder. So a save needs
// no collective while training goes on, and a rank that dies while it writes costs the save, nothing else.
//
//   shard-00002-of-00004.done    a manifest of this shard's files alone (manifest.h): they are durable
//   shard-00002-of-00004.failed  why they are not
// Rank 0, which writes shard 0, makes the folder, waits for all, checks them and commits.
#ifndef LOCKSTEP_RUNTIME_TRAIN_CHECKPOINT_MESSAGES_H_
#define LOCKSTEP_RUNTIME_TRAIN_CHECKPOINT_MESSAGES_H_

#include <atomic>
#include <functional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "absl/types/span.h"
#include "runtime/core/file_system.h"
#include "runtime/train/checkpoint_parts.h"
#include "runtime/train/manifest.h"

namespace lockstep::train {

// How long to wait for other writers, and when to stop.
struct Patience {
  absl::Duration quiet = absl::Seconds(60);           // nothing in the folder grew for so long: give up
  absl::Duration quiet_when_sick = absl::Seconds(2);  // the same once `health` is an error
  std::function<absl::Status()> health;               // of the world; may be empty. From any thread
  const std::atomic<bool>* abandoned = nullptr;       // give up now
};

// Waits until `folder` is there (seen by listing its parent, which network file systems answer afresh).
// Error: Cancelled when abandoned; DeadlineExceeded.
absl::Status AwaitFolder(FileSystem* fs, const std::string& folder, const Patience& patience);

// Makes the names of the files of `shard` durable, as their bytes are, and then makes that known. Whatever it
// returns, rank 0 may have read the message, so the files must not be touched any more.
absl::Status AnnounceShard(FileSystem* fs, const std::string& folder, int shard, int shards,
                           const Manifest& manifest);
// Makes known, as well as the disk still can, that they never will be. On a full disk that takes
// room: delete the files first, if they were never announced.
void AnnounceFailure(FileSystem* fs, const std::string& folder, int shard, int shards,
                     const absl::Status& status);

// Waits for the messages of shards 1 .. shards-1, and returns their manifests in that order. Error: names the
// shard, and why it is missing.
absl::StatusOr<std::vector<Manifest>> AwaitShards(FileSystem* fs, const std::string& folder, int shards,
                                                  const Patience& patience);

// Enters what the writer of a shard has announced into `manifest`. `parts` are all parts of the state in this
// rank's memory. Error: the shard is of another save, has other files or tensors, or its tensors have other
// bytes than here, which means that the ranks' replicas have parted. Of a tensor without data here, which only its
// writer has, the writer's word counts.
absl::Status EnterShard(const Manifest& announced, int shard, absl::Span<const CheckpointPart> parts,
                        Manifest* manifest);

// Takes the messages away.
absl::Status DeleteMessages(FileSystem* fs, const std::string& folder, int shards);

}  // namespace lockstep::train

#endif  // LOCKSTEP_RUNTIME_TRAIN_CHECKPOINT_MESSAGES_H_
