// Several writers of one checkpoint as threads, for the tests of saves.
#ifndef LOCKSTEP_TESTS_TRAIN_SAVE_TEAM_H_
#define LOCKSTEP_TESTS_TRAIN_SAVE_TEAM_H_

#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "runtime/train/checkpoint_save.h"
#include "tests/train/sample_state.h"

namespace lockstep::train {

// The options of one of `shards` writers of saves under one nonce.
inline CheckpointWriterOptions TeamOptions(FileSystem* fs, int shards, int shard, absl::Duration quiet) {
  CheckpointWriterOptions options;
  options.fs = fs;
  options.folder = "run/checkpoints";
  options.team.shards = shards;
  options.team.shard = shard;
  options.team.nonce = "nonce";
  options.team.patience.quiet = quiet;
  return options;
}

// Saves the sample state of `step` by `shards` threads (one: by this one); the outcome of the one that commits.
// `disks` has a file system for each writer, or one for all.
inline SaveOutcome SaveByTeam(const std::vector<FileSystem*>& disks, int shards, const SampleState& state,
                              int keep_last = 3, bool best = false,
                              absl::Duration quiet = absl::Seconds(20)) {
  const auto disk = [&](int shard) { return disks[static_cast<size_t>(shard) % disks.size()]; };
  std::vector<std::thread> others;
  for (int shard = 1; shard < shards; ++shard) {
    others.emplace_back([&, shard] {
      std::vector<CheckpointPart> parts;
      for (CheckpointPart& part : DivideState(state.tensors, shards)) {
        if (part.shard == shard) parts.push_back(std::move(part));
      }
      (void)SaveShard(TeamOptions(disk(shard), shards, shard, quiet), state.manifest, parts);
    });
  }
  CheckpointWriterOptions options = TeamOptions(disk(0), shards, 0, quiet);
  options.keep_last = keep_last;
  SaveOutcome outcome = SaveCheckpoint(options, state.manifest, state.tensors, best);
  for (std::thread& other : others) other.join();
  return outcome;
}

}  // namespace lockstep::train

#endif  // LOCKSTEP_TESTS_TRAIN_SAVE_TEAM_H_
