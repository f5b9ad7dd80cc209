// The identity of weights and of a whole training state (docs/DESIGN.md, section 6).
//
// Both hashes are SHA-256 over the tensors in the bytewise order of their names; each tensor little-endian:
//   u32 name length, name, u32 dtype length, dtype name ("F32"), u32 rank, u64 dimension * rank, raw bytes.
#ifndef LOCKSTEP_RUNTIME_TRAIN_WEIGHTS_HASH_H_
#define LOCKSTEP_RUNTIME_TRAIN_WEIGHTS_HASH_H_

#include <string>

#include "absl/types/span.h"
#include "runtime/train/tensor_store.h"

namespace lockstep::train {

// 64 lower-case hexadecimal digits. Names must be unique (REQUIRES); the order of `tensors` does not matter.
std::string TensorsSha256(absl::Span<const NamedTensor> tensors);

}  // namespace lockstep::train

#endif  // LOCKSTEP_RUNTIME_TRAIN_WEIGHTS_HASH_H_
