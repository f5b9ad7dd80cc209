// How a training state is divided into the files of a checkpoint, and how one of them is written.
//
// One writer:      model.safetensors and optimizer.safetensors.
// Several writers: model-00001-of-00003.safetensors, ... and model.safetensors.index.json, which says which
//                  tensor is in which file, as Hugging Face's loaders have it; the same for optimizer.
// Tensors are never cut, so that any safetensors reader opens any of these files.
#ifndef LOCKSTEP_RUNTIME_TRAIN_CHECKPOINT_PARTS_H_
#define LOCKSTEP_RUNTIME_TRAIN_CHECKPOINT_PARTS_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "runtime/core/file_system.h"
#include "runtime/train/checkpoint.h"
#include "runtime/train/manifest.h"

namespace lockstep::train {

struct PartTensor {
  NamedTensor tensor;  // under the name of the file
  TensorRole role = TensorRole::kParameter;
};

// One file: a list of whole tensors, and the shard (the writer, from 0) that it belongs to.
struct CheckpointPart {
  std::string name;
  int shard = 0;
  std::vector<PartTensor> tensors;
};

// Every tensor of the state in one part. A pure function of names, types and shapes, so all ranks divide
// alike. Each shard gets about the same number of bytes: the largest tensor first, to the shard that has
// least (so no shard has more than the mean and the largest tensor together). With one shard there are always
// both parts, else none without a tensor.
std::vector<CheckpointPart> DivideState(const TrainTensors& tensors, int shards);

// How many shards a state of that many bytes is written in by `ranks` ranks: one a `shard_bytes`, rounded
// down, at least one and at most a rank each. shard_bytes <= 0: one.
int ShardsFor(uint64_t state_bytes, int64_t shard_bytes, int ranks);
// The shard that a rank writes; -1: none. Shards are spread over the ranks, and rank 0 has the first.
int ShardOfRank(int rank, int ranks, int shards);

// Writes one part into `folder`, durable but for its name there, and enters it into the manifest, whose step
// and save id go into the file's header.
absl::Status WritePart(FileSystem* fs, const std::string& folder, const CheckpointPart& part,
                       Manifest* manifest);

// Writes, as durably, an index for each kind of file of which the manifest names several, and enters it too.
absl::Status WriteIndexes(FileSystem* fs, const std::string& folder, Manifest* manifest);

// "model.safetensors.index.json", "optimizer.safetensors.index.json".
bool IsIndexName(absl::string_view name);
// Whether a file of that name in a checkpoint's folder is Lockstep's own, and holds tensors or not.
bool IsCheckpointFileName(absl::string_view name);
bool IsTensorFileName(absl::string_view name);

// "shard-00002-of-00004": what writers tell each other by (checkpoint_messages.h) begins with it.
std::string ShardName(int shard, int shards);

}  // namespace lockstep::train

#endif  // LOCKSTEP_RUNTIME_TRAIN_CHECKPOINT_PARTS_H_
