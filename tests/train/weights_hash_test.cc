#include "runtime/train/weights_hash.h"

#include <gtest/gtest.h>

#include "runtime/train/checkpoint.h"

namespace lockstep::train {
namespace {

constexpr float kWeight[] = {1, 2, 3, 4, 5, 6};
constexpr float kBias[] = {0.5f, -0.5f};
constexpr float kMean[] = {0.25f, 4};
constexpr float kMoment[] = {1e-3f, 0};
constexpr float kAverage[] = {0.4f, -0.4f};

TrainTensors Sample() {
  TrainTensors tensors;
  tensors.parameters = {{"fc.weight", DType::kF32, {2, 3}, kWeight}, {"fc.bias", DType::kF32, {2}, kBias}};
  tensors.buffers = {{"norm.running_mean", DType::kF32, {2}, kMean}};
  tensors.optimizer = {{"adamw.m.fc.bias", DType::kF32, {2}, kMoment}};
  tensors.ema = {{"fc.bias", DType::kF32, {2}, kAverage}};
  return tensors;
}

// Both values were computed from the definition in docs/DESIGN.md with Python's struct and hashlib.
TEST(WeightsHash, EqualsTheDefinition) {
  const Counters counters = {{"best", 0.975}, {"note", std::string("a\0b", 3)}};
  const StateHashes hashes = HashState(Sample(), 7, 448, counters);
  EXPECT_EQ(hashes.weights_sha256, "7a014d68e9742c0c096ca87d5f15854adf44ab7581d926173fb2ef14e8195df4");
  EXPECT_EQ(hashes.state_sha256, "ea1db2415f807572843462a33bb845f6f5c0d7b423ad1085ba330ddee746e70a");
}

TEST(WeightsHash, OrderOfTheListDoesNotMatter) {
  auto tensors = Sample().parameters;
  const std::string hash = TensorsSha256(tensors);
  std::swap(tensors[0], tensors[1]);
  EXPECT_EQ(TensorsSha256(tensors), hash);
}

TEST(WeightsHash, NameTypeShapeAndEveryBitMatter) {
  const auto tensors = Sample().parameters;
  const std::string hash = TensorsSha256(tensors);
  auto changed = tensors;
  changed[0].name = "fc.weighs";
  EXPECT_NE(TensorsSha256(changed), hash);
  changed = tensors;
  changed[0].shape = Shape({3, 2});
  EXPECT_NE(TensorsSha256(changed), hash);
  changed = tensors;
  changed[0].dtype = DType::kI32;
  EXPECT_NE(TensorsSha256(changed), hash);
  const float negative_zero[] = {-0.0f}, zero[] = {0.0f};
  EXPECT_NE(TensorsSha256({{{"x", DType::kF32, {1}, negative_zero}}}),
            TensorsSha256({{{"x", DType::kF32, {1}, zero}}}));
}

TEST(WeightsHash, StepAndCountersArePartOfTheStateOnly) {
  const StateHashes hashes = HashState(Sample(), 7, 448, {});
  const StateHashes later = HashState(Sample(), 8, 448, {});
  const StateHashes counted = HashState(Sample(), 7, 448, {{"skipped_steps", int64_t{1}}});
  EXPECT_EQ(hashes.weights_sha256, later.weights_sha256);
  EXPECT_NE(hashes.state_sha256, later.state_sha256);
  EXPECT_NE(hashes.state_sha256, counted.state_sha256);
}

}  // namespace
}  // namespace lockstep::train
