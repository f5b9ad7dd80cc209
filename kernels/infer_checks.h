// What the inference of types checks again and again. The rules are those of ops.h.
#ifndef LOCKSTEP_KERNELS_INFER_CHECKS_H_
#define LOCKSTEP_KERNELS_INFER_CHECKS_H_

#include <initializer_list>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "kernels/ops.h"

namespace lockstep::kernels::infer {

using Types = std::vector<TensorType>;
using Inferred = absl::StatusOr<Types>;

inline absl::Status Misfit(const OpSpec& spec, absl::string_view what) {
  OpSpec shown = spec;
  shown.outputs.clear();
  std::string text = shown.ToString();
  text.resize(text.size() - 4);  // without " -> "
  return absl::InvalidArgumentError(absl::StrCat(text, ": ", what));
}

// Leaves the function with an error about `spec` unless the condition holds.
#define LOCKSTEP_REQUIRE(condition, ...) \
  if (!(condition)) return Misfit(spec, absl::StrCat(__VA_ARGS__))

inline TensorType F32(Shape shape) { return {DType::kF32, shape}; }
inline TensorType F64Scalar() { return {DType::kF64, Shape{}}; }
inline TensorType InvalidCount() { return {DType::kI64, Shape{2}}; }

inline const Shape& In(const OpSpec& spec, int i) { return spec.inputs[i].shape; }
inline int64_t Rows(const Shape& shape) { return shape.Product(0, shape.rank() - 1); }
inline bool IsIds(const TensorType& type) { return type.dtype == DType::kI32 || type.dtype == DType::kI64; }

inline Shape WithoutLast(const Shape& shape) {
  Shape result;
  for (int i = 0; i + 1 < shape.rank(); ++i) result.Append(shape[i]);
  return result;
}

inline Shape WithLast(Shape shape, int64_t size) {
  shape.Set(-1, size);
  return shape;
}

inline absl::Status CheckCount(const OpSpec& spec, size_t count) {
  LOCKSTEP_REQUIRE(spec.inputs.size() == count, "takes ", count, " inputs, not ", spec.inputs.size());
  return absl::OkStatus();
}

inline absl::Status CheckF32(const OpSpec& spec, std::initializer_list<int> which) {
  for (int i : which) LOCKSTEP_REQUIRE(spec.inputs[i].dtype == DType::kF32, "input ", i, " must be F32");
  return absl::OkStatus();
}

inline absl::Status CheckVectors(const OpSpec& spec, int first, int last, int64_t size) {
  for (int i = first; i <= last; ++i) {
    LOCKSTEP_REQUIRE(spec.inputs[i] == F32({size}), "input ", i, " must be F32[", size, "]");
  }
  return absl::OkStatus();
}

Inferred Infer(const OpSpec& spec);

// One function a group of operators, each in the file of its group.
Inferred InferConv2d(const OpSpec& spec);
Inferred InferPool2d(const OpSpec& spec);
Inferred InferBatchNorm(const OpSpec& spec);
Inferred InferLayerNorm(const OpSpec& spec);
Inferred InferSoftmax(const OpSpec& spec);
Inferred InferEmbedding(const OpSpec& spec);
Inferred InferAttention(const OpSpec& spec);
Inferred InferRotary(const OpSpec& spec);
Inferred InferLoss(const OpSpec& spec);

}  // namespace lockstep::kernels::infer

#endif  // LOCKSTEP_KERNELS_INFER_CHECKS_H_
