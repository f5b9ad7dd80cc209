// A flat gradient of matrices, vectors and a tail, for the tests of compression.
#ifndef LOCKSTEP_TESTS_TRAIN_SAMPLE_GRADIENTS_H_
#define LOCKSTEP_TESTS_TRAIN_SAMPLE_GRADIENTS_H_

#include <cstdint>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "comm/communicator.h"
#include "runtime/core/rng.h"
#include "runtime/core/status.h"
#include "runtime/graph/parameter_layout.h"

namespace lockstep::train {

inline constexpr int64_t kSampleTail = 20;

// Two matrices that compress (one a convolution's weight), a vector, a matrix that a thin product would make
// larger, with padding between them.
inline graph::ParameterLayout SampleLayout() {
  graph::ParameterLayout layout;
  const std::vector<std::pair<std::string, Shape>> parameters = {{"fc.weight", Shape({24, 40})},
                                                                 {"fc.bias", Shape({24})},
                                                                 {"small.weight", Shape({3, 2})},
                                                                 {"conv.weight", Shape({30, 3, 3, 7})}};
  for (const auto& [name, shape] : parameters) {
    graph::ParameterLayout::Entry entry;
    entry.name = name;
    entry.shape = shape;
    entry.offset = layout.total_elements;
    entry.elements = static_cast<size_t>(shape.NumElements());
    layout.parameter_elements += entry.elements;
    layout.total_elements += RoundUp(entry.elements, 16);
    layout.entries.push_back(entry);
  }
  return layout;
}

inline int64_t SampleElements() { return static_cast<int64_t>(SampleLayout().total_elements) + kSampleTail; }

// Calls set(i) for every element that is not padding.
template <typename Function>
void ForEachSample(const Function& function) {
  const graph::ParameterLayout layout = SampleLayout();
  for (const auto& entry : layout.entries) {
    for (size_t i = 0; i < entry.elements; ++i) function(static_cast<int64_t>(entry.offset + i));
  }
  for (int64_t i = 0; i < kSampleTail; ++i) function(static_cast<int64_t>(layout.total_elements) + i);
}

// Rank `rank`'s gradient in step `step`: normal numbers, or whole ones up to +-31, of full rank either way.
inline std::vector<float> SampleGradient(int rank, int step, bool whole_numbers = false) {
  std::vector<float> gradient(static_cast<size_t>(SampleElements()));
  std::vector<float> values(gradient.size());
  FillNormal(DeriveKey(7, absl::StrCat(rank, "/", step)), 0, 1, absl::MakeSpan(values));
  ForEachSample([&](int64_t i) {
    gradient[i] = whole_numbers ? static_cast<float>(static_cast<int>(values[i] * 8) % 32) : values[i];
  });
  return gradient;
}

// OK when all ranks hold the same bytes.
inline absl::Status ExpectSameEverywhere(comm::Communicator& communicator, absl::Span<float> values) {
  std::vector<float> all(values.size() * communicator.size());
  RETURN_IF_ERROR(communicator.AllGather(comm::BufferOf(values), comm::BufferOf(absl::MakeSpan(all))));
  for (int rank = 1; rank < communicator.size(); ++rank) {
    if (std::memcmp(all.data(), all.data() + rank * values.size(), values.size() * sizeof(float)) != 0) {
      return absl::InternalError(absl::StrCat("rank ", rank, " has other bits than rank 0"));
    }
  }
  return absl::OkStatus();
}

}  // namespace lockstep::train

#endif  // LOCKSTEP_TESTS_TRAIN_SAMPLE_GRADIENTS_H_
