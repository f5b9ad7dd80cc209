#include "runtime/train/tensor_store.h"

#include <algorithm>
#include <cstring>
#include <map>

#include "absl/strings/str_join.h"

namespace lockstep::train {
namespace {

constexpr size_t kNamesShown = 8;  // of each kind of disagreement

std::string TypeText(DType dtype, const Shape& shape) {
  return absl::StrCat(NameOf(dtype), " ", shape.ToString());
}

std::string Shown(std::vector<std::string> names) {
  const size_t count = names.size();
  if (count > kNamesShown) {
    names.resize(kNamesShown);
    names.push_back(absl::StrCat("and ", count - kNamesShown, " more"));
  }
  return absl::StrJoin(names, ", ");
}

}  // namespace

std::vector<const NamedTensor*> SortedByName(absl::Span<const NamedTensor> tensors) {
  std::vector<const NamedTensor*> sorted;
  sorted.reserve(tensors.size());
  for (const NamedTensor& tensor : tensors) sorted.push_back(&tensor);
  std::stable_sort(sorted.begin(), sorted.end(),
                   [](const auto* a, const auto* b) { return a->name < b->name; });
  return sorted;
}

absl::Status CheckUniqueNames(absl::Span<const NamedTensor> tensors) {
  const auto sorted = SortedByName(tensors);
  for (size_t i = 1; i < sorted.size(); ++i) {
    if (sorted[i]->name == sorted[i - 1]->name) {
      return absl::InvalidArgumentError(absl::StrCat("two tensors are named '", sorted[i]->name, "'"));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckByName(absl::string_view where, absl::Span<const NamedTensor> from,
                         absl::Span<const NamedBuffer> to) {
  std::map<std::string, const NamedTensor*> sources;
  for (const NamedTensor& tensor : from) sources[tensor.name] = &tensor;
  std::vector<std::string> missing, differing, surplus;
  for (const NamedBuffer& buffer : to) {
    const auto found = sources.find(buffer.name);
    if (found == sources.end() || found->second == nullptr) {
      missing.push_back(buffer.name);
      continue;
    }
    const NamedTensor& source = *found->second;
    if (source.dtype != buffer.dtype || source.shape != buffer.shape) {
      differing.push_back(absl::StrCat(buffer.name, " is ", TypeText(source.dtype, source.shape), ", not ",
                                       TypeText(buffer.dtype, buffer.shape)));
    }
    found->second = nullptr;  // used
  }
  for (const auto& [name, tensor] : sources) {
    if (tensor != nullptr) surplus.push_back(name);
  }
  if (!missing.empty() || !differing.empty() || !surplus.empty()) {
    std::string text = absl::StrCat(where, " does not fit this model.");
    if (!missing.empty()) absl::StrAppend(&text, " Missing: ", Shown(missing), ".");
    if (!surplus.empty()) absl::StrAppend(&text, " Not in the model: ", Shown(surplus), ".");
    if (!differing.empty()) absl::StrAppend(&text, " Other type or shape: ", Shown(differing), ".");
    return CheckpointError(text);
  }
  return absl::OkStatus();
}

absl::Status CopyByName(absl::string_view where, absl::Span<const NamedTensor> from,
                        absl::Span<const NamedBuffer> to) {
  RETURN_IF_ERROR(CheckByName(where, from, to));
  std::map<std::string, const NamedTensor*> sources;
  for (const NamedTensor& tensor : from) sources[tensor.name] = &tensor;
  for (const NamedBuffer& buffer : to) {
    if (buffer.size_bytes() > 0) std::memcpy(buffer.data, sources[buffer.name]->data, buffer.size_bytes());
  }
  return absl::OkStatus();
}

void TensorStore::CopyFrom(absl::Span<const NamedTensor> tensors, const CopyFunction& copy) {
  size_t total_bytes = 0;
  for (const NamedTensor& tensor : tensors) {
    if (tensor.data != nullptr) total_bytes += RoundUp(tensor.size_bytes(), kAlignmentBytes);
  }
  if (memory_.size_bytes() != total_bytes) {
    memory_ = AlignedBytes();  // the old memory goes before the new comes
    memory_ = AlignedBytes(total_bytes);
  }
  tensors_.assign(tensors.begin(), tensors.end());
  std::byte* at = memory_.data();
  for (NamedTensor& tensor : tensors_) {
    const size_t size_bytes = tensor.size_bytes();
    if (tensor.data == nullptr) continue;
    if (size_bytes > 0) {
      if (copy) {
        copy(tensor, at);
      } else {
        std::memcpy(at, tensor.data, size_bytes);
      }
    }
    tensor.data = at;
    at += RoundUp(size_bytes, kAlignmentBytes);
  }
}

}  // namespace lockstep::train
