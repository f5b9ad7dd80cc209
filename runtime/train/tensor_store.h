// Named, typed views of tensors, and reusable host memory that a snapshot of them is copied into.
#ifndef LOCKSTEP_RUNTIME_TRAIN_TENSOR_STORE_H_
#define LOCKSTEP_RUNTIME_TRAIN_TENSOR_STORE_H_

#include <functional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "runtime/core/aligned_buffer.h"
#include "runtime/core/dtype.h"
#include "runtime/core/shape.h"
#include "runtime/core/status.h"

namespace lockstep::train {

// A tensor that somebody else owns: row-major, dense, host memory unless the function that takes it says
// otherwise.
struct NamedTensor {
  std::string name;
  DType dtype = DType::kF32;
  Shape shape;
  const void* data = nullptr;  // may be null where there are no elements

  size_t size_bytes() const { return static_cast<size_t>(shape.NumElements()) * SizeOf(dtype); }
};

// The same, to be written to.
struct NamedBuffer {
  std::string name;
  DType dtype = DType::kF32;
  Shape shape;
  void* data = nullptr;

  size_t size_bytes() const { return static_cast<size_t>(shape.NumElements()) * SizeOf(dtype); }
  operator NamedTensor() const { return {name, dtype, shape, data}; }  // NOLINT: a buffer is readable too
};

// Pointers into `tensors`, sorted by name (bytewise).
std::vector<const NamedTensor*> SortedByName(absl::Span<const NamedTensor> tensors);

// Error: InvalidArgument naming the first name that occurs twice.
absl::Status CheckUniqueNames(absl::Span<const NamedTensor> tensors);

// Copies each tensor of `from` into the buffer of the same name. The names, dtypes and shapes must agree
// exactly; otherwise nothing is written and the CheckpointError lists what is missing, what is too much and
// what differs (`where` names the source, as "checkpoint RUN/checkpoints/step-00000100").
absl::Status CopyByName(absl::string_view where, absl::Span<const NamedTensor> from,
                        absl::Span<const NamedBuffer> to);

// What CopyByName finds before it copies.
absl::Status CheckByName(absl::string_view where, absl::Span<const NamedTensor> from,
                         absl::Span<const NamedBuffer> to);

// How bytes get from a tensor to host memory; memcpy unless given (a device copy, say).
using CopyFunction = std::function<void(const NamedTensor& from, void* to)>;

// Host memory for copies of a fixed list of tensors. The memory is kept and used again while the total size
// stays the same, so a snapshot every k steps allocates once. Not thread-safe.
class TensorStore {
 public:
  // Copies every tensor; one without data stays so. Views of earlier copies become invalid.
  void CopyFrom(absl::Span<const NamedTensor> tensors, const CopyFunction& copy = nullptr);

  // Views of the copies, in the order given to CopyFrom. Valid until the next CopyFrom.
  absl::Span<const NamedTensor> tensors() const { return tensors_; }

 private:
  AlignedBytes memory_;
  std::vector<NamedTensor> tensors_;
};

}  // namespace lockstep::train

#endif  // LOCKSTEP_RUNTIME_TRAIN_TENSOR_STORE_H_
