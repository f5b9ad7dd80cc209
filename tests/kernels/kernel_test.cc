// What holds for every kernel object: several threads may run it at once.
#include "kernels/kernel.h"

#include <thread>

#include "runtime/core/thread.h"
#include "tests/kernels/op_runner.h"

namespace lockstep::kernels {
namespace {

// Runs `kind` on four threads, each with its own outputs and scratch, many times; all must equal the first
// run.
void ExpectThreadsAgree(OpKind kind, const OpAttributes& attributes, const std::vector<TestTensor>& inputs) {
  OpOptions options;
  options.check_allocations = false;
  const OpRun run = RunOp(kind, attributes, inputs, options);
  std::vector<const void*> in;
  for (const TestTensor& input : inputs) in.push_back(input.data());
  std::vector<std::thread> threads;
  std::vector<int> differences(4);
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      PrepareLaneThread();
      std::vector<TestTensor> outputs;
      std::vector<void*> out;
      for (const TensorType& type : run.spec.outputs) {
        outputs.emplace_back(type);
        out.push_back(outputs.back().data());
      }
      const TestTensor scratch({DType::kU8, {static_cast<int64_t>(run.kernel->scratch_bytes())}});
      for (int repeat = 0; repeat < 20; ++repeat) {
        run.kernel->Run({in, out, scratch.as<std::byte>(), false, nullptr});
        for (size_t i = 0; i < outputs.size(); ++i)
          differences[t] += outputs[i].Bytes() != run.outputs[i].Bytes();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(differences, std::vector<int>(4)) << run.spec.ToString();
}

TEST(KernelTest, ThreadsMayShareOne) {
  LinearAttributes linear;
  const uint16_t result = linear.epilogue.Append({.op = ProgramOp::kResult});
  const uint16_t bias = linear.epilogue.Append({.op = ProgramOp::kLoad, .a = 0});
  const uint16_t sum = linear.epilogue.Append({.op = ProgramOp::kAdd, .a = result, .b = bias});
  linear.epilogue.outputs = {linear.epilogue.Append({.op = ProgramOp::kGeluTanh, .a = sum})};
  ExpectThreadsAgree(OpKind::kLinear, linear, {Random({1100, 32}, 1), Random({48, 32}, 2), Random({48}, 3)});
  ExpectThreadsAgree(OpKind::kLinearWeightGrad, WeightGradAttributes{true},
                     {Random({90, 40}, 1), Random({90, 30}, 2)});

  const Conv2dAttributes conv = {{3, 3, 1, 1, 1, 1, 1, 1, 1, 1}, 1, false, 8, 8};
  const auto image = Random({2, 8, 8, 16}, 1), weight = Random({16, 16, 3, 3}, 2);
  ExpectThreadsAgree(OpKind::kConv2d, conv, {image, weight});
  ExpectThreadsAgree(OpKind::kConv2dInputGrad, conv, {image, weight});
  ExpectThreadsAgree(OpKind::kConv2dWeightGrad, conv, {image, image});

  const AttentionAttributes attention = {2, 2, 16, 0, true, true, false};
  ExpectThreadsAgree(OpKind::kAttention, attention, {Random({1, 80, 96}, 1)});
  ExpectThreadsAgree(OpKind::kBatchNorm, NormAttributes{}, {image, Random({16}, 1), Random({16}, 2)});
}

}  // namespace
}  // namespace lockstep::kernels
