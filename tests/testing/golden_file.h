// Golden values: small safetensors files that scripts/golden wrote with PyTorch (its golden.py says what is
// in them).
#ifndef LOCKSTEP_TESTS_TESTING_GOLDEN_FILE_H_
#define LOCKSTEP_TESTS_TESTING_GOLDEN_FILE_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "nlohmann/json.hpp"
#include "runtime/core/status.h"
#include "runtime/core/tensor_type.h"

namespace lockstep::testing {

// One stored tensor. Values() and Integers() convert to the type a test compares in.
struct GoldenTensor {
  TensorType type;
  std::vector<std::byte> bytes;

  std::vector<float> Values() const;
  std::vector<int64_t> Integers() const;
};

struct GoldenCase {
  std::string name, op;
  nlohmann::json attributes;
  std::vector<std::string> inputs, gradients, outputs;
};

struct GoldenFile {
  std::map<std::string, GoldenTensor> tensors;
  std::vector<GoldenCase> cases;

  // The tensor `name`; aborts the test program when there is none.
  const GoldenTensor& At(const std::string& name) const;
};

// Reads tests/testing/golden/<name>.safetensors under `source_dir` (LOCKSTEP_SOURCE_DIR of the test program).
absl::StatusOr<GoldenFile> ReadGoldenFile(const std::string& source_dir, const std::string& name);

// Compares as |got - want| <= tolerance * (scale + |want|), where scale is the root mean square of `want` (at
// least `smallest_scale`): what is small beside the rest of its tensor was computed from numbers of the
// rest's size. Empty when all agree, else the worst element in words.
std::string Differs(const std::vector<float>& got, const std::vector<float>& want, double tolerance,
                    double smallest_scale = 1e-30);

}  // namespace lockstep::testing

#endif  // LOCKSTEP_TESTS_TESTING_GOLDEN_FILE_H_
