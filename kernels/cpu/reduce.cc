#include "kernels/cpu/reduce.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "kernels/cpu/factories.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/reduce.cc"
#include "hwy/foreach_target.h"
// After foreach_target.h.
#include "hwy/highway.h"
#include "kernels/cpu/vector_math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace lockstep::kernels::HWY_NAMESPACE {

// sums[c] = sum of `rows` (at most 64) rows.
void SumBlock(const float* x, int64_t stride, int64_t rows, int64_t columns, float* sums) {
  std::memset(sums, 0, columns * sizeof(float));
  int64_t r = 0;
  for (; r + 8 <= rows; r += 8) {
    const float* row = x + r * stride;
    ForVectors(columns, [&](size_t i, auto part) HWY_ATTR {
      const auto at = [&](int k) HWY_ATTR { return part.Load(row + k * stride + i); };
      const V low = hn::Add(hn::Add(at(0), at(1)), hn::Add(at(2), at(3)));
      const V high = hn::Add(hn::Add(at(4), at(5)), hn::Add(at(6), at(7)));
      part.Store(hn::Add(part.Load(sums + i), hn::Add(low, high)), sums + i);
    });
  }
  for (; r < rows; ++r) {
    const float* row = x + r * stride;
    ForVectors(columns, [&](size_t i, auto part) HWY_ATTR {
      part.Store(hn::Add(part.Load(sums + i), part.Load(row + i)), sums + i);
    });
  }
}

double SumRow(const float* x, int64_t count) {
  double total = 0;
  const int64_t lanes = hn::Lanes(D()), chunk = lanes * 64;
  int64_t i = 0;
  for (; i + chunk <= count; i += chunk) {
    V sums[4] = {hn::Zero(D()), hn::Zero(D()), hn::Zero(D()), hn::Zero(D())};
    for (int64_t j = 0; j < chunk; j += 4 * lanes) {
      for (int k = 0; k < 4; ++k) sums[k] = hn::Add(sums[k], hn::LoadU(D(), x + i + j + k * lanes));
    }
    total += SumLanes(hn::Add(hn::Add(sums[0], sums[1]), hn::Add(sums[2], sums[3])));
  }
  V rest = hn::Zero(D());
  ForVectors(count - i, [&](size_t j, auto part) HWY_ATTR { rest = hn::Add(rest, part.Load(x + i + j)); });
  return total + SumLanes(rest);
}

void ScaleTo(const float* x, float scale, bool accumulate, float* out, int64_t count) {
  const V factor = Const(scale);
  ForVectors(count, [&](size_t i, auto part) HWY_ATTR {
    const V v = hn::Mul(part.Load(x + i), factor);
    part.Store(accumulate ? hn::Add(part.Load(out + i), v) : v, out + i);
  });
}

}  // namespace lockstep::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lockstep::kernels::cpu {
namespace {

HWY_EXPORT(SumBlock);
HWY_EXPORT(SumRow);
HWY_EXPORT(ScaleTo);

constexpr int64_t kBlockRows = 64, kTileColumns = 2048;

void Put(double value, bool accumulate, float* out) {
  *out = static_cast<float>(accumulate ? *out + value : value);
}

}  // namespace

double SumOf(const float* x, int64_t count) { return HWY_DYNAMIC_DISPATCH(SumRow)(x, count); }

size_t ColumnSums::scratch_bytes() const {
  const size_t tile = RoundUp(std::min(columns_, kTileColumns), 16);
  return tile * (sizeof(float) + sizeof(double));
}

void ColumnSums::Run(const float* x, float scale, bool accumulate, float* out, std::byte* scratch) const {
  double* totals = reinterpret_cast<double*>(scratch);
  for (int64_t first = 0; first < columns_; first += kTileColumns) {
    const int64_t columns = std::min(kTileColumns, columns_ - first);
    float* sums = reinterpret_cast<float*>(totals + RoundUp(std::min(columns_, kTileColumns), 16));
    std::fill_n(totals, columns, 0.0);
    for (int64_t r = 0; r < rows_; r += kBlockRows) {
      HWY_DYNAMIC_DISPATCH(SumBlock)
      (x + r * columns_ + first, columns_, std::min(kBlockRows, rows_ - r), columns, sums);
      for (int64_t c = 0; c < columns; ++c) totals[c] += sums[c];
    }
    for (int64_t c = 0; c < columns; ++c) Put(totals[c] * scale, accumulate, out + first + c);
  }
}

KernelOr MakeReduceSum(const OpSpec& spec) {
  const auto a = std::get<ReduceAttributes>(spec.attributes);
  if (a.inner == 1) {
    return MakeFunctionKernel(0, [a](const KernelArgs& args) {
      for (int64_t i = 0; i < a.outer; ++i) {
        Put(SumOf(In(args, 0) + i * a.reduce, a.reduce) * a.scale, args.accumulate, Out(args, 0) + i);
      }
    });
  }
  const ColumnSums sums(a.reduce, a.inner);
  return MakeFunctionKernel(sums.scratch_bytes(), [a, sums](const KernelArgs& args) {
    for (int64_t i = 0; i < a.outer; ++i) {
      sums.Run(In(args, 0) + i * a.reduce * a.inner, a.scale, args.accumulate, Out(args, 0) + i * a.inner,
               args.scratch);
    }
  });
}

KernelOr MakeBroadcast(const OpSpec& spec) {
  const auto a = std::get<ReduceAttributes>(spec.attributes);
  return MakeFunctionKernel(0, [a](const KernelArgs& args) {
    for (int64_t i = 0; i < a.outer; ++i) {
      const float* x = In(args, 0) + i * a.inner;
      float* y = Out(args, 0) + i * a.reduce * a.inner;
      if (a.inner == 1) {
        const float value = *x * a.scale;
        for (int64_t j = 0; j < a.reduce; ++j) y[j] = args.accumulate ? y[j] + value : value;
        continue;
      }
      for (int64_t j = 0; j < a.reduce; ++j)
        HWY_DYNAMIC_DISPATCH(ScaleTo)(x, a.scale, args.accumulate, y + j * a.inner, a.inner);
    }
  });
}

}  // namespace lockstep::kernels::cpu
#endif  // HWY_ONCE
