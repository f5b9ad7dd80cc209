#include "tests/kernels/op_runner.h"

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <new>

#include "runtime/core/aligned_buffer.h"
#include "runtime/core/rng.h"
#include "runtime/core/thread.h"

namespace {
thread_local int64_t allocations = 0;
}  // namespace

void* operator new(size_t bytes) {
  ++allocations;
  if (void* memory = std::malloc(bytes)) return memory;
  throw std::bad_alloc();
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, size_t) noexcept { std::free(memory); }

namespace lockstep::kernels {
namespace {

constexpr size_t kGuardBytes = 128;
constexpr unsigned char kGuard = 0xA5;

unsigned char* AlignedStart(std::vector<unsigned char>& storage, size_t shift_bytes) {
  const auto address = reinterpret_cast<uintptr_t>(storage.data()) + kGuardBytes;
  return storage.data() + kGuardBytes + (RoundUp(address, kAlignmentBytes) - address) + shift_bytes;
}

std::vector<void*> Pointers(const std::vector<TestTensor>& tensors) {
  std::vector<void*> pointers;
  for (const TestTensor& tensor : tensors) pointers.push_back(tensor.data());
  return pointers;
}

// One run with the given tensors; scratch is full of garbage and guarded.
void RunWith(const OpRun& run, const std::vector<TestTensor>& inputs, const std::vector<TestTensor>& outputs,
             bool accumulate, const OpOptions& options, unsigned char garbage) {
  const TestTensor scratch({DType::kU8, {static_cast<int64_t>(run.kernel->scratch_bytes())}});
  std::memset(scratch.data(), garbage, run.kernel->scratch_bytes());
  const std::vector<void*> in = Pointers(inputs), out = Pointers(outputs);
  const std::vector<const void*> const_in(in.begin(), in.end());
  const KernelArgs args = {const_in, out, scratch.as<std::byte>(), accumulate, &options.context};
  const int64_t before = AllocationCount();
  run.kernel->Run(args);
  const int64_t allocated = AllocationCount() - before;
  EXPECT_TRUE(allocated == 0 || !options.check_allocations) << run.spec.ToString() << " allocates";
  EXPECT_TRUE(scratch.GuardsIntact()) << run.spec.ToString() << " writes beyond its scratch";
  for (const TestTensor& output : outputs) {
    EXPECT_TRUE(output.GuardsIntact()) << run.spec.ToString() << " writes beyond an output";
  }
}

std::vector<TestTensor> MakeOutputs(const OpSpec& spec, size_t shift_bytes, double fill) {
  std::vector<TestTensor> outputs;
  for (const TensorType& type : spec.outputs) {
    outputs.emplace_back(type, shift_bytes);
    for (int64_t i = 0; i < outputs.back().size(); ++i) outputs.back().Set(i, fill);
  }
  return outputs;
}

void CheckRepeats(const OpRun& run, const OpOptions& options) {
  std::vector<TestTensor> inputs;
  for (const TestTensor& input : run.inputs) inputs.push_back(input.Copy(64 * (inputs.size() + 1)));
  const auto outputs = MakeOutputs(run.spec, 192, -3);
  RunWith(run, inputs, outputs, false, options, 0xFF);
  for (size_t i = 0; i < outputs.size(); ++i) {
    EXPECT_EQ(outputs[i].Bytes(), run.outputs[i].Bytes())
        << run.spec.ToString() << ": output " << i << " differs in a second run at other addresses";
  }
  for (size_t i = 0; i < inputs.size(); ++i) {
    EXPECT_EQ(inputs[i].Bytes(), run.inputs[i].Bytes()) << run.spec.ToString() << " changes input " << i;
  }
}

void CheckInPlace(const OpRun& run, const OpOptions& options) {
  for (size_t output = 0; output < run.spec.outputs.size(); ++output) {
    for (int input : InPlaceInputs(run.spec, output)) {
      ASSERT_EQ(run.spec.inputs[input], run.spec.outputs[output]) << "in place over another type";
      std::vector<TestTensor> inputs;
      for (const TestTensor& tensor : run.inputs) inputs.push_back(tensor.Copy());
      auto outputs = MakeOutputs(run.spec, 0, 7);
      outputs[output] = inputs[input];
      RunWith(run, inputs, outputs, false, options, 0x11);
      for (size_t i = 0; i < outputs.size(); ++i) {
        EXPECT_EQ(outputs[i].Bytes(), run.outputs[i].Bytes())
            << run.spec.ToString() << ": output " << i << " differs with output " << output << " over input "
            << input;
      }
    }
  }
}

void CheckAccumulate(const OpRun& run, const OpOptions& options) {
  const auto outputs = MakeOutputs(run.spec, 0, 2);
  RunWith(run, run.inputs, outputs, true, options, 0x22);
  for (size_t output = 0; output < outputs.size(); ++output) {
    const double offset = AccumulatesInto(run.spec, output) ? 2 : 0;
    for (int64_t i = 0; i < outputs[output].size(); ++i) {
      const double plain = run.outputs[output].At(i);
      if (!std::isfinite(plain)) continue;
      ASSERT_NEAR(outputs[output].At(i), plain + offset, 1e-5 * (1 + std::abs(plain)))
          << run.spec.ToString() << ": accumulate, output " << output << " element " << i;
    }
  }
}

}  // namespace

int64_t AllocationCount() { return allocations; }

TestTensor::TestTensor(const TensorType& type, size_t shift_bytes) : type_(type) {
  const size_t bytes = type.size_bytes();
  storage_ = std::make_shared<std::vector<unsigned char>>(
      bytes + 2 * kGuardBytes + kAlignmentBytes + shift_bytes, kGuard);
  data_ = AlignedStart(*storage_, shift_bytes);
}

// 16-bit floats count as their bits: operators that take them only move them.
double TestTensor::At(int64_t i) const {
  switch (type_.dtype) {
    case DType::kBF16:
      return as<uint16_t>()[i];
    case DType::kU8:
      return as<uint8_t>()[i];
    case DType::kI32:
      return as<int32_t>()[i];
    case DType::kI64:
      return static_cast<double>(as<int64_t>()[i]);
    case DType::kF64:
      return as<double>()[i];
    default:
      return as<float>()[i];
  }
}

void TestTensor::Set(int64_t i, double value) const {
  switch (type_.dtype) {
    case DType::kBF16:
      as<uint16_t>()[i] = static_cast<uint16_t>(value);
      break;
    case DType::kU8:
      as<uint8_t>()[i] = static_cast<uint8_t>(value);
      break;
    case DType::kI32:
      as<int32_t>()[i] = static_cast<int32_t>(value);
      break;
    case DType::kI64:
      as<int64_t>()[i] = static_cast<int64_t>(value);
      break;
    case DType::kF64:
      as<double>()[i] = value;
      break;
    default:
      as<float>()[i] = static_cast<float>(value);
  }
}

std::string TestTensor::Bytes() const { return std::string(as<char>(), type_.size_bytes()); }

bool TestTensor::GuardsIntact() const {
  const auto* begin = static_cast<unsigned char*>(data_);
  for (const unsigned char* p = storage_->data(); p < begin; ++p) {
    if (*p != kGuard) return false;
  }
  for (const unsigned char* p = begin + type_.size_bytes(); p < storage_->data() + storage_->size(); ++p) {
    if (*p != kGuard) return false;
  }
  return true;
}

TestTensor TestTensor::Copy(size_t shift_bytes) const {
  TestTensor copy(type_, shift_bytes);
  std::memcpy(copy.data(), data_, type_.size_bytes());
  return copy;
}

TestTensor Random(const Shape& shape, uint64_t seed, double low, double high) {
  TestTensor tensor({DType::kF32, shape});
  FillUniform(seed, low, high, {tensor.as<float>(), static_cast<size_t>(tensor.size())});
  return tensor;
}

TestTensor FromValues(const TensorType& type, const std::vector<double>& values) {
  TestTensor tensor(type);
  for (int64_t i = 0; i < tensor.size(); ++i) tensor.Set(i, values[i]);
  return tensor;
}

OpRun RunOp(OpKind kind, const OpAttributes& attributes, const std::vector<TestTensor>& inputs,
            const OpOptions& options) {
  PrepareLaneThread();
  OpRun run{{kind, attributes, {}, {}}, nullptr, inputs, {}};
  for (const TestTensor& input : inputs) run.spec.inputs.push_back(input.type());
  auto outputs = InferOutputs(run.spec);
  EXPECT_TRUE(outputs.ok()) << outputs.status();
  if (!outputs.ok()) return run;
  run.spec.outputs = *outputs;
  auto kernel = MakeKernel(Device::kCpu, run.spec);
  EXPECT_TRUE(kernel.ok()) << kernel.status();
  if (!kernel.ok()) return run;
  run.kernel = *std::move(kernel);
  run.outputs = MakeOutputs(run.spec, 0, 99);
  RunWith(run, run.inputs, run.outputs, false, options, 0x00);
  CheckRepeats(run, options);
  CheckInPlace(run, options);
  CheckAccumulate(run, options);
  return run;
}

void ExpectNear(const TestTensor& output, const std::function<double(int64_t)>& expected, double tolerance) {
  for (int64_t i = 0; i < output.size(); ++i) {
    const double want = expected(i), got = output.At(i);
    if (std::isnan(want) ? std::isnan(got) : want == got) continue;
    ASSERT_LE(std::abs(got - want), tolerance * (1 + std::abs(want)))
        << "element " << i << " of " << output.type().ToString() << ": " << got << ", expected " << want;
    ASSERT_FALSE(std::isnan(got)) << "element " << i;
  }
}

void ExpectNear(const TestTensor& output, const std::vector<double>& expected, double tolerance) {
  ASSERT_EQ(output.size(), static_cast<int64_t>(expected.size()));
  ExpectNear(
      output, [&](int64_t i) { return expected[i]; }, tolerance);
}

std::vector<double> NumericGradient(std::vector<double> x,
                                    const std::function<double(const std::vector<double>&)>& f, double step) {
  std::vector<double> gradient(x.size());
  for (size_t i = 0; i < x.size(); ++i) {
    const double at = x[i];
    x[i] = at + step;
    const double above = f(x);
    x[i] = at - step;
    gradient[i] = (above - f(x)) / (2 * step);
    x[i] = at;
  }
  return gradient;
}

std::vector<double> Doubles(const TestTensor& tensor) {
  std::vector<double> values(tensor.size());
  for (int64_t i = 0; i < tensor.size(); ++i) values[i] = tensor.At(i);
  return values;
}

}  // namespace lockstep::kernels
