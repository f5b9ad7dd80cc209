#include "comm/reduce/reduce.h"

#include <algorithm>
#include <cassert>
#include <cstdint>
#include <cstring>
#include <memory>
#include <type_traits>

#include "comm/reduce/half.h"
#include "comm/reduce/sum_kernels.h"
#include "comm/reduce/wire_kernels.h"
#include "runtime/core/thread.h"

namespace lockstep::comm {
namespace {

// Elements evaluated at a time: intermediate sums of a block stay in the first-level cache, and all inputs are
// read side by side (see SumInOrder).
constexpr size_t kBlock = 256;

// Signed sums and products wrap around, as the hardware does.
template <typename T>
T Wrapping(ReduceOp op, T a, T b) {
  if constexpr (std::is_integral_v<T>) {
    using U = std::make_unsigned_t<T>;
    using Wide =
        std::conditional_t<(sizeof(U) < sizeof(unsigned)), unsigned, U>;  // no promotion to signed int
    const Wide x = static_cast<U>(a), y = static_cast<U>(b);
    return static_cast<T>(static_cast<U>(op == ReduceOp::kProd ? x * y : x + y));
  } else {
    return op == ReduceOp::kProd ? a * b : a + b;
  }
}

template <typename T>
void Combine(ReduceOp op, const T* a, const T* b, T* to, size_t n) {
  switch (op) {
    case ReduceOp::kSum:
    case ReduceOp::kAvg:
      for (size_t i = 0; i < n; ++i) to[i] = Wrapping(ReduceOp::kSum, a[i], b[i]);
      return;
    case ReduceOp::kProd:
      for (size_t i = 0; i < n; ++i) to[i] = Wrapping(ReduceOp::kProd, a[i], b[i]);
      return;
    case ReduceOp::kMin:
      for (size_t i = 0; i < n; ++i) to[i] = b[i] < a[i] ? b[i] : a[i];
      return;
    case ReduceOp::kMax:
      for (size_t i = 0; i < n; ++i) to[i] = a[i] < b[i] ? b[i] : a[i];
      return;
  }
}

// Sums of floats, which are nearly all that training reduces, are vectorised by name.
template <typename T>
void CombineFast(ReduceOp op, const T* a, const T* b, T* to, size_t n) {
  if constexpr (std::is_floating_point_v<T>) {
    if (op == ReduceOp::kSum || op == ReduceOp::kAvg) {
      const T* const in[2] = {a, b};
      SumBalanced(in, 2, to, n, false);
      return;
    }
  }
  Combine(op, a, b, to, n);
}

template <typename T>
void DivideBy(T* values, size_t n, int divisor) {
  // In a type that holds the number of ranks, which 8 bits may not.
  using Signed = std::conditional_t<std::is_signed_v<T>, int64_t, uint64_t>;
  using Wide = std::conditional_t<std::is_integral_v<T>, Signed, T>;
  for (size_t i = 0; i < n; ++i) values[i] = static_cast<T>(values[i] / static_cast<Wide>(divisor));
}

}  // namespace

ReduceProgram::ReduceProgram(int inputs, const std::vector<AddStep>& steps, ReduceOp op, DType dtype,
                             int divisor, Wire wire)
    : inputs_(inputs), op_(op), dtype_(dtype), divisor_(divisor), wire_(wire) {
  assert(wire == Wire::kFull || dtype == DType::kF32);
  assert(steps.size() + 1 == static_cast<size_t>(inputs));
  const auto balanced = BalancedSteps(inputs);
  balanced_ = std::equal(steps.begin(), steps.end(), balanced.begin(), balanced.end(),
                         [](AddStep a, AddStep b) { return a.left == b.left && a.right == b.right; });
  // Steps come in post-order, so that scratch blocks are used as a stack: a step frees its operands and takes
  // the lowest free block.
  std::vector<int> place(inputs + steps.size());
  for (int i = 0; i < inputs; ++i) place[i] = i;
  std::vector<bool> used;
  for (size_t k = 0; k < steps.size(); ++k) {
    const int left = place[steps[k].left], right = place[steps[k].right];
    for (int operand : {left, right}) {
      if (operand < 0) used[~operand] = false;
    }
    size_t free = std::find(used.begin(), used.end(), false) - used.begin();
    if (free == used.size()) used.push_back(false);
    const bool last = k + 1 == steps.size();
    if (!last) used[free] = true;
    place[inputs + k] = ~static_cast<int>(free);
    steps_.push_back({left, right, place[inputs + k]});
  }
  scratch_blocks_ = static_cast<int>(used.size());
}

template <typename T, typename Acc>
void ReduceProgram::RunBlocks(const void* const* inputs, void* out, size_t count, Stores stores) const {
  constexpr bool kConverts = !std::is_same_v<T, Acc>;
  // Blocks of intermediate sums, then (for types that are converted) two operands and the output.
  const auto scratch = std::make_unique_for_overwrite<Acc[]>((scratch_blocks_ + 4) * kBlock);
  Acc* const staged[3] = {&scratch[scratch_blocks_ * kBlock], &scratch[(scratch_blocks_ + 1) * kBlock],
                          &scratch[(scratch_blocks_ + 2) * kBlock]};
  T* const result = static_cast<T*>(out);
  for (size_t begin = 0; begin < count; begin += kBlock) {
    const size_t n = std::min(kBlock, count - begin);
    const auto operand = [&](int code, int side) -> const Acc* {
      if (code < 0) return &scratch[~code * kBlock];
      const T* in = static_cast<const T*>(inputs[code]) + begin;
      if constexpr (kConverts) {
        for (size_t i = 0; i < n; ++i) staged[side][i] = ToFloat(in[i]);
        return staged[side];
      } else {
        if (!Rounds<T>()) return in;
        Round(in, staged[side], n);
        return staged[side];
      }
    };
    Acc* target;
    if constexpr (kConverts) {
      target = staged[2];
    } else {
      target = stores == Stores::kStreaming ? staged[2] : result + begin;
    }
    if (steps_.empty()) std::memmove(target, operand(0, 0), n * sizeof(Acc));  // rounded, if so asked
    for (const SumStep& step : steps_) {
      Acc* to = &step == &steps_.back() ? target : &scratch[~step.to * kBlock];
      CombineFast(op_, operand(step.left, 0), operand(step.right, 1), to, n);
      if (Rounds<T>()) Round(to, to, n);
    }
    if (divisor_ != 1) {
      DivideBy(target, n, divisor_);
      if (Rounds<T>()) Round(target, target, n);
    }
    if constexpr (kConverts) {
      for (size_t i = 0; i < n; ++i) FromFloat(target[i], result[begin + i]);
    } else if (stores == Stores::kStreaming) {
      StreamCopy(result + begin, target, n * sizeof(T));
    }
  }
}

// The common case in one pass over memory. False when this is not it.
bool ReduceProgram::RunWhole(const void* const* inputs, void* out, size_t count, Stores stores) const {
  const bool sum = op_ == ReduceOp::kSum || op_ == ReduceOp::kAvg;
  const bool shape = balanced_ && (inputs_ == 2 || inputs_ == 4 || inputs_ == 8);
  const bool fits = !steps_.empty() && steps_.size() <= kSumMostSteps && scratch_blocks_ <= kSumScratchPlaces;
  if (!sum || (!shape && !fits) || divisor_ != 1 || wire_ != Wire::kFull) return false;
  const auto run = [&](auto* typed_out) {
    const auto* const in = reinterpret_cast<const std::remove_pointer_t<decltype(typed_out)>* const*>(inputs);
    const bool stream = stores == Stores::kStreaming;
    if (shape) {
      SumBalanced(in, inputs_, typed_out, count, stream);
    } else {
      SumInOrder(in, steps_, typed_out, count, stream);
    }
  };
  if (dtype_ == DType::kF32) {
    run(static_cast<float*>(out));
  } else if (dtype_ == DType::kF64) {
    run(static_cast<double*>(out));
  } else {
    return false;
  }
  return true;
}

void ReduceProgram::Run(const void* const* inputs, void* out, size_t count, Stores stores) const {
  if (count == 0) return;
  const LaneArithmetic modes;
  if (!RunWhole(inputs, out, count, stores)) {
    switch (dtype_) {
      case DType::kU8:
        RunBlocks<uint8_t, uint8_t>(inputs, out, count, stores);
        break;
      case DType::kI8:
        RunBlocks<int8_t, int8_t>(inputs, out, count, stores);
        break;
      case DType::kI32:
        RunBlocks<int32_t, int32_t>(inputs, out, count, stores);
        break;
      case DType::kU32:
        RunBlocks<uint32_t, uint32_t>(inputs, out, count, stores);
        break;
      case DType::kI64:
        RunBlocks<int64_t, int64_t>(inputs, out, count, stores);
        break;
      case DType::kU64:
        RunBlocks<uint64_t, uint64_t>(inputs, out, count, stores);
        break;
      case DType::kF16:
        RunBlocks<Float16, float>(inputs, out, count, stores);
        break;
      case DType::kBF16:
        RunBlocks<BFloat16, float>(inputs, out, count, stores);
        break;
      case DType::kF32:
        RunBlocks<float, float>(inputs, out, count, stores);
        break;
      case DType::kF64:
        RunBlocks<double, double>(inputs, out, count, stores);
        break;
    }
  }
  if (stores == Stores::kStreaming) FenceStreams();
}

void RoundTo(Wire wire, const float* in, float* out, size_t count) {
  uint16_t packed[kBlock];
  for (size_t begin = 0; begin < count; begin += kBlock) {
    const size_t n = std::min(kBlock, count - begin);
    PackTo(wire, in + begin, packed, n);
    UnpackFrom(wire, packed, out + begin, n);
  }
}

void PackTo(Wire wire, const float* in, uint16_t* out, size_t count) {
  if (wire == Wire::kBF16) {
    PackBFloat16(in, out, count);
  } else {
    PackFloat16(in, out, count);
  }
}

void UnpackFrom(Wire wire, const uint16_t* in, float* out, size_t count) {
  if (wire == Wire::kBF16) {
    UnpackBFloat16(in, out, count);
  } else {
    UnpackFloat16(in, out, count);
  }
}

void CopyBytes(void* to, const void* from, size_t size_bytes, Stores stores) {
  if (to == from || size_bytes == 0) return;
  if (stores == Stores::kCached) {
    CachedCopy(to, from, size_bytes);
    return;
  }
  StreamCopy(to, from, size_bytes);
  FenceStreams();
}

}  // namespace lockstep::comm
