// Runs one operator as a test wants it and checks on the way what must hold for every operator: the same bits
// when run again and at other addresses, in place as InPlaceInputs allows, accumulate where AccumulatesInto
// says so, guard bytes around outputs and scratch untouched, and no allocation by our own code.
#ifndef LOCKSTEP_TESTS_KERNELS_OP_RUNNER_H_
#define LOCKSTEP_TESTS_KERNELS_OP_RUNNER_H_

#include <gtest/gtest.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "kernels/kernel.h"

namespace lockstep::kernels {

// A tensor on the heap with guards on both sides.
class TestTensor {
 public:
  TestTensor() = default;
  explicit TestTensor(const TensorType& type, size_t shift_bytes = 0);

  const TensorType& type() const { return type_; }
  int64_t size() const { return type_.shape.NumElements(); }
  void* data() const { return data_; }
  template <typename T>
  T* as() const {
    return static_cast<T*>(data_);
  }
  double At(int64_t i) const;  // of any dtype
  void Set(int64_t i, double value) const;
  std::string Bytes() const;
  bool GuardsIntact() const;
  TestTensor Copy(size_t shift_bytes = 0) const;

 private:
  TensorType type_;
  std::shared_ptr<std::vector<unsigned char>> storage_;
  void* data_ = nullptr;
};

// F32 in [low, high), a function of `seed`.
TestTensor Random(const Shape& shape, uint64_t seed, double low = -1, double high = 1);
TestTensor FromValues(const TensorType& type, const std::vector<double>& values);

struct OpRun {
  OpSpec spec;
  std::unique_ptr<Kernel> kernel;
  std::vector<TestTensor> inputs, outputs;
};

struct OpOptions {
  RunContext context;
  bool check_allocations = true;  // off for operators that call oneDNN, which makes small objects of its own
};

// Infers the outputs of (kind, attributes, inputs), makes the kernel, runs it and checks what is said above.
OpRun RunOp(OpKind kind, const OpAttributes& attributes, const std::vector<TestTensor>& inputs,
            const OpOptions& options = {});

// Output `output` is near `expected(i)`: |difference| <= tolerance * (1 + |expected|).
void ExpectNear(const TestTensor& output, const std::function<double(int64_t)>& expected,
                double tolerance = 2e-6);
void ExpectNear(const TestTensor& output, const std::vector<double>& expected, double tolerance = 2e-6);

// The gradient of f at `x` by central differences in double, where f reads x.At and is a sum over outputs.
std::vector<double> NumericGradient(std::vector<double> x,
                                    const std::function<double(const std::vector<double>&)>& f,
                                    double step = 1e-5);

std::vector<double> Doubles(const TestTensor& tensor);

// How often operator new or malloc ran on this thread since the program began.
int64_t AllocationCount();

}  // namespace lockstep::kernels

#endif  // LOCKSTEP_TESTS_KERNELS_OP_RUNNER_H_
