// A kernel must not depend on how many cores the process had when the kernel was made: a launcher that binds
// a rank to one core and one that does not would else train to different bits.
#include <dlfcn.h>
#include <gtest/gtest.h>

#include <cstring>
#include <thread>
#include <vector>

#include "kernels/kernel.h"
#include "runtime/core/aligned_buffer.h"
#include "runtime/core/rng.h"
#include "runtime/core/thread.h"

namespace lockstep::kernels {
namespace {

void SetOpenMpThreads(int threads) {
  auto set = reinterpret_cast<void (*)(int)>(dlsym(RTLD_DEFAULT, "omp_set_num_threads"));
  if (set != nullptr) set(threads);
}

// The bits of a convolution's weight gradient whose kernel was made under `threads` OpenMP threads.
std::vector<float> WeightGradient(int threads) {
  OpSpec spec;
  spec.kind = OpKind::kConv2dWeightGrad;
  Conv2dAttributes conv;
  conv.window.kernel_h = conv.window.kernel_w = 3;
  conv.window.pad_top = conv.window.pad_bottom = conv.window.pad_left = conv.window.pad_right = 1;
  spec.attributes = conv;
  spec.inputs = {{DType::kF32, {8, 8, 8, 32}}, {DType::kF32, {8, 8, 8, 32}}};
  spec.outputs = InferOutputs(spec).value();
  std::vector<float> result;
  std::thread([&] {
    SetOpenMpThreads(threads);
    auto kernel = MakeKernel(Device::kCpu, spec).value();
    PrepareLaneThread();
    const size_t count = spec.inputs[0].shape.NumElements();
    AlignedBuffer<float> dy(count), x(count), dw(spec.outputs[0].shape.NumElements());
    FillNormal(1, 0, 1, dy.span());
    FillNormal(2, 0, 1, x.span());
    AlignedBytes scratch(kernel->scratch_bytes());
    const void* inputs[] = {dy.data(), x.data()};
    void* outputs[] = {dw.data()};
    kernel->Run({.inputs = inputs, .outputs = outputs, .scratch = scratch.data()});
    result.assign(dw.data(), dw.data() + dw.size());
  }).join();
  return result;
}

TEST(PlannedThreadsTest, AKernelIsTheSameHoweverManyThreadsOpenMpHadWhenItWasMade) {
  const std::vector<float> one = WeightGradient(1);
  for (int threads : {2, 3, 8}) {
    const std::vector<float> many = WeightGradient(threads);
    ASSERT_EQ(one.size(), many.size());
    EXPECT_EQ(std::memcmp(one.data(), many.data(), one.size() * sizeof(float)), 0) << threads << " threads";
  }
}

TEST(PlannedThreadsTest, TheCallersNumberOfThreadsIsGivenBack) {
  auto get = reinterpret_cast<int (*)()>(dlsym(RTLD_DEFAULT, "omp_get_max_threads"));
  if (get == nullptr) GTEST_SKIP() << "oneDNN was built without OpenMP";
  std::thread([&] {
    SetOpenMpThreads(3);
    {
      const SingleThreadedOpenMp one;
      EXPECT_EQ(get(), 1);
    }
    EXPECT_EQ(get(), 3);
  }).join();
}

}  // namespace
}  // namespace lockstep::kernels
