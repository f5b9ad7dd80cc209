// Reading checkpoints. A checkpoint is a folder RUN/checkpoints/step-00000100/ with
//   model.safetensors      trained parameters and buffers (batch-norm statistics), fp32; any reader opens it
//   optimizer.safetensors  optimizer state; the EMA of parameter X is "ema.X"; what compression keeps is
//                          "compression. ..." (compression/compression_state.h)
//   manifest.textproto     what must be in them (manifest.h)
// or, of a large state that several ranks wrote, model-00001-of-00003.safetensors and so on, with an index
// model.safetensors.index.json (checkpoint_parts.h). Every tensor file's header names the step and the save
// that it is of.
// It is complete when it has that name and a manifest: writing happens in another folder that is renamed when
// all of it is durable (checkpoint_writer.h).
#ifndef LOCKSTEP_RUNTIME_TRAIN_CHECKPOINT_H_
#define LOCKSTEP_RUNTIME_TRAIN_CHECKPOINT_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "runtime/core/file_system.h"
#include "runtime/train/manifest.h"
#include "runtime/train/safetensors.h"
#include "runtime/train/tensor_store.h"

namespace lockstep::train {

inline constexpr char kManifestName[] = "manifest.textproto";
inline constexpr char kModelName[] = "model.safetensors";
inline constexpr char kOptimizerName[] = "optimizer.safetensors";
inline constexpr char kStepMetadata[] = "lockstep.step";  // in a tensor file's header
inline constexpr char kSaveMetadata[] = "lockstep.save";
inline constexpr char kEmaPrefix[] = "ema.";
inline constexpr char kCompressionPrefix[] = "compression.";  // of state that is no optimizer's

// Everything of a run that is tensors. Names are unique over all four lists together (EMA counted with its
// prefix).
struct TrainTensors {
  std::vector<NamedTensor> parameters;  // trained; fp32 masters
  std::vector<NamedTensor> buffers;     // batch-norm statistics and the like
  std::vector<NamedTensor> optimizer;   // as "adamw.m.<parameter>", must not begin with "ema."; compression's
  std::vector<NamedTensor> ema;         // under the parameters' own names
};

// The two hashes of docs/DESIGN.md, section 6. For state_sha256 the tensors bear the names of the files (EMA
// prefixed), and step, position and counters join them as "counter.<name>": int64 as I64 [], double as F64
// [], bytes as U8 [n].
struct StateHashes {
  std::string weights_sha256;
  std::string state_sha256;
};
StateHashes HashState(const TrainTensors& tensors, int64_t step, int64_t position, const Counters& counters);

// A checkpoint in memory, every byte checked. Movable; the views die with it.
class LoadedCheckpoint {
 public:
  const std::string& path() const { return path_; }
  const Manifest& manifest() const { return manifest_; }
  const TrainTensors& tensors() const { return tensors_; }

  // "checkpoint PATH", for CopyByName and messages.
  std::string Describe() const { return "checkpoint " + path_; }

 private:
  friend absl::StatusOr<LoadedCheckpoint> LoadCheckpoint(FileSystem* fs, const std::string& path);
  std::string path_;
  Manifest manifest_;
  std::vector<SafetensorsFile> files_;
  TrainTensors tensors_;
};

// Reads a checkpoint folder and checks every byte of it: sizes, headers, which save each file is of, names,
// shapes, the CRC of every tensor, and weights_sha256 and state_sha256 over all. A folder that holds tensor
// files which its manifest does not name is refused too: a reader without a manifest would mix them.
// Error: CheckpointError naming file and tensor.
absl::StatusOr<LoadedCheckpoint> LoadCheckpoint(FileSystem* fs, const std::string& path);

struct RejectedCheckpoint {
  std::string path;
  std::string reason;
};

struct FoundCheckpoint {
  std::optional<LoadedCheckpoint>
      checkpoint;  // none: the run has no complete checkpoint, so it starts at step 0
  std::vector<RejectedCheckpoint> rejected;  // newer ones that are damaged, newest first
};

// The newest complete checkpoint of `run_folder` that loads; whatever is damaged is listed and passed over.
// Error: CheckpointError when there are checkpoints and none of them loads, or when one is of a newer format
// (falling back behind it would lose work silently).
absl::StatusOr<FoundCheckpoint> FindCheckpoint(FileSystem* fs, const std::string& run_folder);

// `--resume PATH`: a checkpoint folder, or a run folder whose newest is meant.
absl::StatusOr<FoundCheckpoint> ResolveCheckpoint(FileSystem* fs, const std::string& path);

}  // namespace lockstep::train

#endif  // LOCKSTEP_RUNTIME_TRAIN_CHECKPOINT_H_
