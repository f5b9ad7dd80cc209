#include "tests/kernels/op_runner.h"

namespace lockstep::kernels {
namespace {

TEST(EmbeddingTest, LooksUpAndCountsWhatIsOutside) {
  const auto table = Random({5, 19}, 1);
  for (DType dtype : {DType::kI32, DType::kI64}) {
    const auto ids = FromValues({dtype, {2, 3}}, {4, 0, -1, 4, 5, 2});
    const auto run = RunOp(OpKind::kEmbedding, NoAttributes{}, {ids, table});
    EXPECT_EQ(run.outputs[0].type().shape, Shape({2, 3, 19}));
    ExpectNear(
        run.outputs[0],
        [&](int64_t i) {
          const int64_t id = ids.At(i / 19);
          return id >= 0 && id < 5 ? table.At(id * 19 + i % 19) : 0;
        },
        0);
    ExpectNear(run.outputs[1], {2, 2}, 0);
  }
}

TEST(EmbeddingTest, GradientAddsRowsAndSkipsInvalidIds) {
  for (DType dtype : {DType::kI32, DType::kI64}) {
    const auto ids = FromValues({dtype, {6}}, {4, 0, -7, 4, 5, 2});
    const auto dy = Random({6, 19}, 2);
    const auto run = RunOp(OpKind::kEmbeddingGrad, EmbeddingGradAttributes{5}, {dy, ids});
    ExpectNear(run.outputs[0], [&](int64_t i) {
      double sum = 0;
      for (int64_t j = 0; j < 6; ++j) sum += ids.At(j) == i / 19 ? dy.At(j * 19 + i % 19) : 0;
      return sum;
    });
  }
}

TEST(EmbeddingTest, NothingInvalidGivesMinusOne) {
  const auto run =
      RunOp(OpKind::kEmbedding, NoAttributes{}, {FromValues({DType::kI32, {1}}, {0}), Random({1, 1}, 1)});
  ExpectNear(run.outputs[1], {0, -1}, 0);
}

}  // namespace
}  // namespace lockstep::kernels
