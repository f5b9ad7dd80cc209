// The manifest of a checkpoint: what it is, what every file and tensor of it must look like, and the numbers
// of the run that are not tensors. On disk it is proto/manifest.proto in text form; its last line is a
// comment with the CRC-32C of all bytes before it, so that no byte of a checkpoint is unchecked.
#ifndef LOCKSTEP_RUNTIME_TRAIN_MANIFEST_H_
#define LOCKSTEP_RUNTIME_TRAIN_MANIFEST_H_

#include <cstdint>
#include <map>
#include <string>
#include <variant>
#include <vector>

#include "absl/strings/string_view.h"
#include "runtime/core/dtype.h"
#include "runtime/core/shape.h"
#include "runtime/core/status.h"
#include "runtime/data/dataset.h"

namespace lockstep::train {

// The newest format that this Lockstep reads. A checkpoint is written in the oldest that can say what it
// holds, so that an older Lockstep reads it where it can.
//   1: one file a kind of tensor.
//   2: several, with an index file each as Hugging Face has it.
inline constexpr int kCheckpointFormatVersion = 2;

// What a tensor is to the run; decides its file and the hash it counts for.
enum class TensorRole { kParameter, kBuffer, kOptimizer, kEma };

struct ManifestFile {
  std::string name;  // within the checkpoint's folder
  uint64_t size_bytes = 0;
  uint32_t header_crc32c = 0;  // of everything before the first tensor; of an index, of all of it
};

// A file that the run reads, as its fingerprint knows it.
struct ManifestDataFile {
  data::FileFacts file;
  bool validation = false;
};

struct ManifestTensor {
  std::string name;  // as in the safetensors file
  TensorRole role = TensorRole::kParameter;
  DType dtype = DType::kF32;
  Shape shape;
  std::string file;
  uint32_t crc32c = 0;
};

// A number of the run that is not a tensor: skipped steps, loss scale, best metric. Bytes hold anything else.
using CounterValue = std::variant<int64_t, double, std::string>;
using Counters = std::map<std::string, CounterValue>;

struct Manifest {
  int format_version = kCheckpointFormatVersion;
  int64_t step = 0;      // optimizer steps done
  int64_t position = 0;  // samples consumed
  uint64_t seed = 0;
  std::string dataset_fingerprint;
  std::string validation_fingerprint;  // of the held-out records; empty: no validation
  std::string recipe_sha256;
  std::string recipe_text;  // canonical, so that a refused resume can show the difference
  std::string probe_sha256;
  std::string weights_sha256;  // of the parameters
  std::string state_sha256;    // of all tensors, step, position and counters
  std::string save_id;         // of this save alone, in every tensor file's header; empty in old checkpoints
  Counters counters;           // part of the state: the same for any world size and any number of resumes

  // Labels: not part of the state's identity.
  int world_size = 0;  // that wrote it
  int64_t generation = 0;
  double train_seconds = 0;  // spent so far, over all resumes
  std::string build_id;
  std::string wall_time;                  // RFC 3339
  std::map<std::string, double> metrics;  // as last seen: "loss", "eval.accuracy"
  // What the fingerprints are of, so that a refused resume can say what has changed. Empty in old
  // checkpoints.
  std::vector<ManifestDataFile> data_files;

  std::vector<ManifestFile> files;
  std::vector<ManifestTensor> tensors;
};

// Text with the check line at its end.
std::string SerializeManifest(const Manifest& manifest);

// Error: CheckpointError beginning with `where`, when the text is torn, damaged, malformed, or of a newer
// format.
absl::StatusOr<Manifest> ParseManifest(absl::string_view text, absl::string_view where);

// Whether `status` says that the checkpoint was written by a newer Lockstep (then an older checkpoint is no
// answer).
bool IsNewerFormat(const absl::Status& status);

absl::string_view NameOf(TensorRole role);  // "PARAMETER", ...

}  // namespace lockstep::train

#endif  // LOCKSTEP_RUNTIME_TRAIN_MANIFEST_H_
