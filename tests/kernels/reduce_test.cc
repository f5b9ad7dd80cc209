#include "tests/kernels/op_runner.h"

namespace lockstep::kernels {
namespace {

class ReduceTest : public testing::TestWithParam<std::array<int64_t, 3>> {};

INSTANTIATE_TEST_SUITE_P(Shapes, ReduceTest,
                         testing::Values(std::array<int64_t, 3>{1, 1, 1}, std::array<int64_t, 3>{1, 130, 37},
                                         std::array<int64_t, 3>{5, 64, 48},
                                         std::array<int64_t, 3>{3, 3000, 1},
                                         std::array<int64_t, 3>{1, 9, 5000}, std::array<int64_t, 3>{2, 1, 7},
                                         std::array<int64_t, 3>{7, 5, 1}, std::array<int64_t, 3>{1, 0, 3}));

TEST_P(ReduceTest, SumsTheMiddle) {
  const auto [outer, reduce, inner] = GetParam();
  const auto x = Random({outer, reduce, inner}, 1);
  const auto run =
      RunOp(OpKind::kReduceSum, ReduceAttributes{outer, reduce, inner, 0.5f, {outer, inner}}, {x});
  ExpectNear(run.outputs[0], [&, reduce = reduce, inner = inner](int64_t i) {
    double sum = 0;
    for (int64_t j = 0; j < reduce; ++j) sum += x.At((i / inner * reduce + j) * inner + i % inner);
    return sum / 2;
  });
}

TEST_P(ReduceTest, BroadcastRepeatsTheMiddle) {
  const auto [outer, reduce, inner] = GetParam();
  const auto x = Random({outer, inner}, 1);
  const auto run =
      RunOp(OpKind::kBroadcast, ReduceAttributes{outer, reduce, inner, 0.5f, {outer, reduce, inner}}, {x});
  ExpectNear(run.outputs[0], [&, reduce = reduce, inner = inner](int64_t i) {
    return x.At(i / (reduce * inner) * inner + i % inner) / 2;
  });
}

}  // namespace
}  // namespace lockstep::kernels
