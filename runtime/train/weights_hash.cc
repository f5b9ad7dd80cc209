#include "runtime/train/weights_hash.h"

#include "runtime/core/hash.h"

namespace lockstep::train {

std::string TensorsSha256(absl::Span<const NamedTensor> tensors) {
  Sha256 hash;
  for (const NamedTensor* tensor : SortedByName(tensors)) {
    hash.UpdateU32(static_cast<uint32_t>(tensor->name.size()));
    hash.Update(tensor->name);
    const absl::string_view dtype = NameOf(tensor->dtype);
    hash.UpdateU32(static_cast<uint32_t>(dtype.size()));
    hash.Update(dtype);
    hash.UpdateU32(static_cast<uint32_t>(tensor->shape.rank()));
    for (const int64_t dimension : tensor->shape.dims()) hash.UpdateU64(static_cast<uint64_t>(dimension));
    if (tensor->size_bytes() > 0) hash.Update(tensor->data, tensor->size_bytes());
  }
  return hash.Hex();
}

}  // namespace lockstep::train
