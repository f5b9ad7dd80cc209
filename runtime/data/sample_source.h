// Where samples come from: any sample of an epoch at any time, decoded straight into the caller's buffers.
#ifndef LOCKSTEP_RUNTIME_DATA_SAMPLE_SOURCE_H_
#define LOCKSTEP_RUNTIME_DATA_SAMPLE_SOURCE_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/types/span.h"
#include "runtime/core/status.h"
#include "runtime/core/tensor_type.h"

namespace lockstep::data {

// One input of a sample: its name, and its type without the batch.
struct InputSpec {
  std::string name;
  TensorType type;
};

// Thread-safe.
class SampleSource {
 public:
  virtual ~SampleSource() = default;

  virtual int64_t size() const = 0;  // samples of an epoch, >= 1
  virtual const std::vector<InputSpec>& inputs() const = 0;

  // Writes sample `sample` in [0, size): outputs[i] is aligned for, and receives all type.size_bytes() bytes
  // of, inputs()[i]. Error: DataError naming file, record number and feature; the buffers' contents are then
  // undefined.
  virtual absl::Status Decode(int64_t sample, absl::Span<std::byte* const> outputs) const = 0;

  // As Decode, for the sample that stands at `position` of the run: what a source draws at random
  // (augmentation), it draws from the position.
  virtual absl::Status DecodeAt(int64_t sample, int64_t /*position*/,
                                absl::Span<std::byte* const> outputs) const {
    return Decode(sample, outputs);
  }

  // What is drawn over several samples (mixup): changes a training micro-batch in place once all of it is
  // decoded. inputs[i] is [positions.size()] times inputs()[i], and a sample of weight 0 is not real. A
  // function of the positions and the inputs alone.
  virtual void MixBatch(absl::Span<const int64_t> /*positions*/, absl::Span<const float> /*weights*/,
                        absl::Span<std::byte* const> /*inputs*/) const {}

  // A hint that `sample` will be decoded soon: its bytes are brought nearer. Never fails; may do nothing.
  virtual void Prefetch(int64_t /*sample*/) const {}

  // Says that these samples will be decoded, in this order and before what is announced later, so that their bytes can be
  // read ahead. They are kept until what is returned goes. Null where nothing needs to be read: then nobody need announce.
  virtual std::shared_ptr<const void> Announce(absl::Span<const int64_t> /*samples*/) const {
    return nullptr;
  }

  // Identifies the data (hex): equal where every sample is, whatever folder the files lie in.
  virtual const std::string& fingerprint() const = 0;

  // Where sample `sample` lies, for people: "digits-train-00000-of-00002.tfrecord, record 12".
  virtual std::string Describe(int64_t sample) const = 0;

  // Of text: how many bytes a target stands for, averaged over the first `samples` samples; 0: not known.
  virtual double BytesPerTarget(int64_t /*samples*/) const { return 0; }

  // True for a source that offers every step the samples of step 0 again: fixed tensors, for benchmarks.
  // Whoever batches may then keep what it decoded once.
  virtual bool repeats_first_step() const { return false; }
};

}  // namespace lockstep::data

#endif  // LOCKSTEP_RUNTIME_DATA_SAMPLE_SOURCE_H_
