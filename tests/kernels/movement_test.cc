#include <algorithm>
#include <numeric>

#include "tests/kernels/op_runner.h"

namespace lockstep::kernels {
namespace {

TEST(TransposeTest, EveryPermutationOfFourAxesAndEverySize) {
  const Shape shape = {3, 1, 17, 20};
  std::vector<int> permutation = {0, 1, 2, 3};
  do {
    for (DType dtype : {DType::kU8, DType::kBF16, DType::kF32, DType::kF64}) {
      TestTensor x({dtype, shape});
      const size_t size = SizeOf(dtype);
      for (int64_t i = 0; i < x.size() * static_cast<int64_t>(size); ++i) x.as<uint8_t>()[i] = i * 37 % 251;
      OpOptions options;
      const auto run = RunOp(OpKind::kTranspose, TransposeAttributes{permutation}, {x}, options);
      int64_t steps[4] = {340, 340, 20, 1};
      const Shape y = run.outputs[0].type().shape;
      for (int64_t i = 0; i < x.size(); ++i) {
        int64_t from = 0, rest = i;
        for (int axis = 3; axis >= 0; --axis) {
          from += rest % y[axis] * steps[permutation[axis]];
          rest /= y[axis];
        }
        ASSERT_TRUE(std::equal(run.outputs[0].as<uint8_t>() + i * size,
                               run.outputs[0].as<uint8_t>() + (i + 1) * size, x.as<uint8_t>() + from * size));
      }
    }
  } while (std::next_permutation(permutation.begin(), permutation.end()));
}

TEST(ConcatAndSliceTest, AreInverses) {
  for (int axis = 0; axis < 3; ++axis) {
    std::vector<TestTensor> parts;
    for (int64_t size : {2, 1, 4}) {
      Shape shape = {3, 5, 7};
      shape.Set(axis, size);
      parts.push_back(Random(shape, size));
    }
    const auto whole = RunOp(OpKind::kConcat, AxisAttributes{axis}, parts);
    int64_t begin = 0;
    for (const TestTensor& part : parts) {
      const int64_t size = part.type().shape[axis];
      const auto slice = RunOp(OpKind::kSlice, SliceAttributes{axis, begin, size, 0}, {whole.outputs[0]});
      EXPECT_EQ(slice.outputs[0].Bytes(), part.Bytes());
      const auto grad = RunOp(OpKind::kSliceGrad, SliceAttributes{axis, begin, size, 7}, {part});
      const auto back = RunOp(OpKind::kSlice, SliceAttributes{axis, begin, size, 0}, {grad.outputs[0]});
      EXPECT_EQ(back.outputs[0].Bytes(), part.Bytes());
      const auto all = Doubles(grad.outputs[0]), own = Doubles(part);
      const auto magnitude = [](double sum, double v) { return sum + std::abs(v); };
      EXPECT_EQ(std::count(all.begin(), all.end(), 0.0), static_cast<int64_t>(all.size() - own.size()));
      EXPECT_NEAR(std::accumulate(all.begin(), all.end(), 0.0, magnitude),
                  std::accumulate(own.begin(), own.end(), 0.0, magnitude), 1e-9);
      begin += size;
    }
  }
}

}  // namespace
}  // namespace lockstep::kernels
