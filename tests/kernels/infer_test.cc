#include <gmock/gmock.h>

#include "tests/kernels/op_runner.h"

namespace lockstep::kernels {
namespace {

using testing::HasSubstr;

TensorType F32(Shape shape) { return {DType::kF32, shape}; }

// What makes a spec wrong, and what the message must say about it.
struct Wrong {
  OpSpec spec;
  const char* says;
};

TEST(InferTest, RefusesWhatDoesNotFitAndNamesIt) {
  const Conv2dAttributes conv{{3, 3, 1, 1, 1, 1, 1, 1, 1, 1}, 1, false};
  Conv2dAttributes grouped = conv, flat = conv;
  grouped.groups = 3;
  flat.window.stride_h = 0;
  Program future;
  future.outputs = {future.Append({.op = ProgramOp::kNeg, .a = 1})};
  Program absent;
  absent.outputs = {absent.Append({.op = ProgramOp::kLoad, .a = 2})};
  Program wide;
  wide.outputs = {wide.Append({.op = ProgramOp::kLoad, .a = 0})};
  const std::vector<Wrong> cases = {
      {{OpKind::kMatMul, MatMulAttributes{}, {F32({2, 3}), F32({4, 5})}, {}},
       "MatMul(F32[2, 3], F32[4, 5]): inner dimensions differ"},
      {{OpKind::kMatMul, MatMulAttributes{}, {F32({2, 3})}, {}}, "takes 2 inputs, not 1"},
      {{OpKind::kMatMul, NoAttributes{}, {F32({2, 3}), F32({3, 5})}, {}}, "attributes of another operator"},
      {{OpKind::kLinear, LinearAttributes{}, {F32({2, 3}), F32({4, 5})}, {}}, "last dimension"},
      {{OpKind::kLinear, LinearAttributes{}, {{DType::kF64, {2, 3}}, F32({4, 3})}, {}},
       "input 0 must be F32"},
      {{OpKind::kConv2d, conv, {F32({1, 4, 4, 2}), F32({8, 3, 3, 3})}, {}}, "x has 2 channels"},
      {{OpKind::kConv2d, grouped, {F32({1, 4, 4, 6}), F32({8, 2, 3, 3})}, {}}, "not divisible by 3 groups"},
      {{OpKind::kConv2d, flat, {F32({1, 4, 4, 2}), F32({8, 2, 3, 3})}, {}}, "must be positive"},
      {{OpKind::kMaxPool2d, Pool2dAttributes{{20, 20}}, {F32({1, 30, 30, 2})}, {}}, "255"},
      {{OpKind::kMaxPool2d, Pool2dAttributes{{2, 2, 2, 2, 1, 1, 2, 0, 0, 0}}, {F32({1, 4, 4, 2})}, {}},
       "padding"},
      {{OpKind::kElementwise, ProgramAttributes{future, {3}}, {F32({3})}, {}}, "later value"},
      {{OpKind::kElementwise, ProgramAttributes{absent, {3}}, {F32({3})}, {}}, "loads input 2 of 1"},
      {{OpKind::kElementwise, ProgramAttributes{wide, {3, 4}}, {F32({3})}, {}},
       "does not broadcast to [3, 4]"},
      {{OpKind::kEmbedding, NoAttributes{}, {F32({3}), F32({3, 4})}, {}}, "ids must be I32 or I64"},
      {{OpKind::kAttention, AttentionAttributes{2, 2, 4, 0, true}, {F32({1, 3, 20})}, {}}, "must be 24"},
      {{OpKind::kTranspose, TransposeAttributes{{0, 0}}, {F32({3, 4})}, {}}, "not a permutation"},
      {{OpKind::kConcat, AxisAttributes{0}, {F32({3, 4}), F32({3, 5})}, {}}, "more than axis 0"},
      {{OpKind::kSlice, SliceAttributes{1, 3, 2, 0}, {F32({3, 4})}, {}}, "of an axis of 4"},
      {{OpKind::kReduceSum, ReduceAttributes{1, 3, 4, 1, {5}}, {F32({3, 4})}, {}},
       "output_shape must have 4"},
      {{OpKind::kLayerNorm, NormAttributes{}, {F32({3, 4}), F32({4}), F32({5})}, {}},
       "input 2 must be F32[4]"},
      {{OpKind::kCrossEntropy, NoAttributes{}, {F32({3, 4}), {DType::kI32, {2}}, F32({3})}, {}},
       "labels must be 3"},
      {{OpKind::kRotary, RotaryAttributes{6, 5, 1}, {F32({1, 2, 6})}, {}}, "rotary_size"},
  };
  for (const Wrong& wrong : cases) {
    const auto outputs = InferOutputs(wrong.spec);
    ASSERT_FALSE(outputs.ok()) << wrong.spec.ToString();
    EXPECT_EQ(outputs.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(outputs.status().message()), HasSubstr(wrong.says));
    EXPECT_THAT(std::string(outputs.status().message()), HasSubstr(std::string(NameOf(wrong.spec.kind))));
    EXPECT_FALSE(MakeKernel(Device::kCpu, wrong.spec).ok());
  }
}

TEST(MakeKernelTest, RefusesOutputsThatDoNotFollow) {
  const OpSpec spec = {OpKind::kSoftmax, NoAttributes{}, {F32({2, 3})}, {F32({2, 4})}};
  const auto kernel = MakeKernel(Device::kCpu, spec);
  ASSERT_FALSE(kernel.ok());
  EXPECT_THAT(std::string(kernel.status().message()), HasSubstr("Softmax(F32[2, 3]) -> F32[2, 3]"));
}

TEST(MakeKernelTest, SaysThatThereIsNoCudaYet) {
  const OpSpec spec = {OpKind::kSoftmax, NoAttributes{}, {F32({2, 3})}, {F32({2, 3})}};
  const auto kernel = MakeKernel(Device::kCuda, spec);
  ASSERT_EQ(kernel.status().code(), absl::StatusCode::kUnimplemented);
  EXPECT_THAT(std::string(kernel.status().message()), HasSubstr("Softmax"));
  EXPECT_THAT(std::string(kernel.status().message()), HasSubstr("execution.device"));
}

// Every kind has a name of its own, and none of them throws or crashes on nothing at all.
TEST(InferTest, EveryKindSurvivesAnEmptySpec) {
  for (int kind = 0; kind <= static_cast<int>(OpKind::kAccuracy); ++kind) {
    for (const OpAttributes& attributes : std::initializer_list<OpAttributes>{
             NoAttributes{}, ProgramAttributes{}, MatMulAttributes{}, LinearAttributes{},
             WeightGradAttributes{}, Conv2dAttributes{}, Pool2dAttributes{}, ReduceAttributes{},
             NormAttributes{}, EmbeddingGradAttributes{}, AttentionAttributes{}, RotaryAttributes{},
             TransposeAttributes{}, AxisAttributes{}, SliceAttributes{}}) {
      const OpSpec spec = {static_cast<OpKind>(kind), attributes, {}, {}};
      EXPECT_FALSE(InferOutputs(spec).ok()) << NameOf(spec.kind);
    }
  }
}

}  // namespace
}  // namespace lockstep::kernels
