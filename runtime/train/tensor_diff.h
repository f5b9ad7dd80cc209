// Where two lists of tensors differ, and by how much.
#ifndef LOCKSTEP_RUNTIME_TRAIN_TENSOR_DIFF_H_
#define LOCKSTEP_RUNTIME_TRAIN_TENSOR_DIFF_H_

#include <string>
#include <vector>

#include "absl/types/span.h"
#include "runtime/train/tensor_store.h"

namespace lockstep::train {

// One line a tensor whose bits differ, by name: "fc.weight: 3 of 600 elements differ, by up to 0.25", "x:
// only in the first", "y: F32 [2] -> F32 [3]". Elements that differ in bits alone (NaN payloads, signs of
// zero) count, by 0.
std::vector<std::string> TensorDiff(absl::Span<const NamedTensor> before,
                                    absl::Span<const NamedTensor> after);

}  // namespace lockstep::train

#endif  // LOCKSTEP_RUNTIME_TRAIN_TENSOR_DIFF_H_
