// Builder: reshaping, rearranging, reducing along an axis.
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "runtime/graph/builder.h"

namespace lockstep::graph {

using kernels::OpKind;

Tensor Builder::Reshape(Tensor x, const Shape& to) {
  if (!Usable("reshape", {x})) return {};
  const int64_t elements = shape(x).NumElements();
  Shape target = to;
  int64_t known = 1;
  int open = -1;
  for (int i = 0; i < to.rank(); ++i) {
    if (to[i] == -1 && open < 0) {
      open = i;
    } else if (to[i] < 0) {
      return FailOp("reshape", absl::StrCat("cannot make ", to.ToString()), {x});
    } else {
      known *= to[i];
    }
  }
  if (open >= 0 && known > 0 && elements % known == 0) target.Set(open, elements / known);
  if (target.rank() >= Shape::kMaxRank || (open >= 0 && target[open] < 0) ||
      target.NumElements() != elements) {
    return FailOp("reshape", absl::StrCat("cannot make ", to.ToString(), " of ", elements, " elements"), {x});
  }
  const bool with_batch = batched(x);
  return Wrap(graph_.View(x.id, FullShape(with_batch, target)), with_batch);
}

Tensor Builder::Flatten(Tensor x) { return Reshape(x, {-1}); }

Tensor Builder::Transpose(Tensor x, const std::vector<int>& permutation) {
  if (!Usable("transpose", {x})) return {};
  kernels::TransposeAttributes attributes;
  if (batched(x)) attributes.permutation.push_back(0);
  std::vector<bool> seen(shape(x).rank(), false);
  for (int axis : permutation) {
    const int full = FullAxis(x, axis);
    const int own = full - (batched(x) ? 1 : 0);
    if (full < 0 || seen[own]) return FailOp("transpose", "needs each axis once", {x});
    seen[own] = true;
    attributes.permutation.push_back(full);
  }
  if (permutation.size() != seen.size()) return FailOp("transpose", "needs each axis once", {x});
  return Op("transpose", OpKind::kTranspose, attributes, {x}, batched(x));
}

Tensor Builder::Concat(absl::Span<const Tensor> parts, int axis) {
  if (!Usable("concat", parts)) return {};
  if (parts.empty()) return FailOp("concat", "needs at least one part", parts);
  const int full = FullAxis(parts[0], axis);
  if (full < 0) return FailOp("concat", absl::StrCat("there is no axis ", axis), parts);
  for (Tensor part : parts) {
    if (batched(part) != batched(parts[0]))
      return FailOp("concat", "some parts depend on the sample, some do not", parts);
  }
  return Op("concat", OpKind::kConcat, kernels::AxisAttributes{full}, parts, batched(parts[0]));
}

Tensor Builder::Slice(Tensor x, int axis, int64_t begin, int64_t size) {
  if (!Usable("slice", {x})) return {};
  const int full = FullAxis(x, axis);
  if (full < 0) return FailOp("slice", absl::StrCat("there is no axis ", axis), {x});
  const int64_t length = graph_.type(x.id).shape[full];
  if (begin < 0 || size < 1 || begin > length || size > length - begin) {
    return FailOp("slice", absl::StrCat("[", begin, ", ", begin, " + ", size, ") is not within axis ", axis),
                  {x});
  }
  if (size == length) return x;
  kernels::SliceAttributes attributes;
  attributes.axis = full;
  attributes.begin = begin;
  attributes.size = size;
  return Op("slice", OpKind::kSlice, attributes, {x}, batched(x));
}

Tensor Builder::Reduce(absl::string_view op, Tensor x, int axis, bool mean) {
  if (!Usable(op, {x})) return {};
  const int full = FullAxis(x, axis);
  if (full < 0) return FailOp(op, absl::StrCat("there is no axis ", axis), {x});
  const Shape in = graph_.type(x.id).shape;
  kernels::ReduceAttributes attributes;
  attributes.outer = in.Product(0, full);
  attributes.reduce = in[full];
  attributes.inner = in.Product(full + 1, in.rank());
  if (mean) attributes.scale = 1.0f / static_cast<float>(std::max<int64_t>(in[full], 1));
  for (int i = 0; i < in.rank(); ++i) {
    if (i != full) attributes.output_shape.Append(in[i]);
  }
  return Op(op, OpKind::kReduceSum, attributes, {x}, batched(x));
}

Tensor Builder::Mean(Tensor x, int axis) { return Reduce("mean", x, axis, true); }
Tensor Builder::Sum(Tensor x, int axis) { return Reduce("sum", x, axis, false); }

}  // namespace lockstep::graph
