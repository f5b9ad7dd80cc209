#include "kernels/optimizer.h"

#include <algorithm>
#include <cmath>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/optimizer.cc"
#include "hwy/foreach_target.h"
// After foreach_target.h.
#include "hwy/highway.h"
#include "kernels/cpu/optimizer_factors.h"
#include "kernels/cpu/vector_math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace lockstep::kernels::HWY_NAMESPACE {

using cpu::AdamWFactors;
using cpu::SgdFactors;

void AdamWRange(const AdamWFactors& f, const float* gradient, float* parameter, float* m, float* v,
                size_t count) {
  const V scale = Const(f.gradient), decay = Const(f.decay), rate1 = Const(f.one_minus_beta1);
  const V beta2 = Const(f.beta2), rate2 = Const(f.one_minus_beta2);
  const V step_size = Const(f.step_size), inverse_root = Const(f.inverse_root), epsilon = Const(f.epsilon);
  ForVectors(count, [&](size_t i, auto part) HWY_ATTR {
    const V g = hn::Mul(part.Load(gradient + i), scale), old_m = part.Load(m + i);
    const V new_m = hn::MulAdd(rate1, hn::Sub(g, old_m), old_m);
    const V new_v = hn::MulAdd(hn::Mul(rate2, g), g, hn::Mul(beta2, part.Load(v + i)));
    const V p = hn::Mul(part.Load(parameter + i), decay);
    const V denominator = hn::MulAdd(hn::Sqrt(new_v), inverse_root, epsilon);
    part.Store(new_m, m + i);
    part.Store(new_v, v + i);
    part.Store(hn::Sub(p, hn::Div(hn::Mul(step_size, new_m), denominator)), parameter + i);
  });
}

void SgdRange(const SgdFactors& f, const float* gradient, float* parameter, float* buffer, size_t count) {
  const V scale = Const(f.gradient), decay = Const(f.decay), momentum = Const(f.momentum),
          rate = Const(f.rate);
  ForVectors(count, [&](size_t i, auto part) HWY_ATTR {
    const V p = part.Load(parameter + i);
    V g = hn::MulAdd(decay, p, hn::Mul(part.Load(gradient + i), scale));
    if (buffer != nullptr) {
      const V b = f.first ? g : hn::MulAdd(momentum, part.Load(buffer + i), g);
      part.Store(b, buffer + i);
      g = f.nesterov ? hn::MulAdd(momentum, b, g) : b;
    }
    part.Store(hn::NegMulAdd(rate, g, p), parameter + i);
  });
}

void AverageRange(float rate, const float* parameter, float* average, size_t count) {
  const V r = Const(rate);
  ForVectors(count, [&](size_t i, auto part) HWY_ATTR {
    const V a = part.Load(average + i);
    part.Store(hn::MulAdd(r, hn::Sub(part.Load(parameter + i), a), a), average + i);
  });
}

void AddRange(const float* from, float* sum, size_t count) {
  ForVectors(count, [&](size_t i, auto part)
                        HWY_ATTR { part.Store(hn::Add(part.Load(sum + i), part.Load(from + i)), sum + i); });
}

void AddScaledRange(float scale, const float* from, float* sum, size_t count) {
  const V s = Const(scale);
  ForVectors(count, [&](size_t i, auto part) HWY_ATTR {
    part.Store(hn::MulAdd(s, part.Load(from + i), part.Load(sum + i)), sum + i);
  });
}

void ScaleRange(float scale, const float* from, float* to, size_t count) {
  const V s = Const(scale);
  ForVectors(count,
             [&](size_t i, auto part) HWY_ATTR { part.Store(hn::Mul(s, part.Load(from + i)), to + i); });
}

// Squares and sums in double: no gradient is too large for its norm, nor lost in it.
double SquaresOfChunk(const float* x, size_t count) {
#if HWY_HAVE_FLOAT64 && HWY_TARGET != HWY_SCALAR
  const hn::ScalableTag<double> d;
  const hn::Rebind<float, decltype(d)> half;
  const size_t lanes = hn::Lanes(d);
  auto even = hn::Zero(d), odd = hn::Zero(d);
  size_t i = 0;
  for (; i + 2 * lanes <= count; i += 2 * lanes) {
    const auto a = hn::PromoteTo(d, hn::LoadU(half, x + i)),
               b = hn::PromoteTo(d, hn::LoadU(half, x + i + lanes));
    even = hn::MulAdd(a, a, even);
    odd = hn::MulAdd(b, b, odd);
  }
  double sum = hn::GetLane(hn::SumOfLanes(d, hn::Add(even, odd)));
#else
  double sum = 0;
  size_t i = 0;
#endif
  for (; i < count; ++i) sum += static_cast<double>(x[i]) * x[i];
  return sum;
}

// x - x is 0 for finite numbers and NaN for the others.
bool AllFinite(const float* x, size_t count) {
  V seen = hn::Zero(D());
  ForVectors(count, [&](size_t i, auto part) HWY_ATTR {
    const V v = part.Load(x + i);
    seen = hn::Add(seen, hn::Sub(v, v));
  });
  return hn::AllTrue(D(), hn::Eq(seen, hn::Zero(D())));
}

}  // namespace lockstep::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lockstep::kernels {
namespace {

using cpu::AdamWFactors;
using cpu::SgdFactors;

HWY_EXPORT(AdamWRange);
HWY_EXPORT(SgdRange);
HWY_EXPORT(AverageRange);
HWY_EXPORT(AddRange);
HWY_EXPORT(AddScaledRange);
HWY_EXPORT(ScaleRange);
HWY_EXPORT(SquaresOfChunk);
HWY_EXPORT(AllFinite);
}  // namespace

void AdamW(const AdamWStep& s, absl::Span<const float> gradient, absl::Span<float> parameter,
           absl::Span<float> m, absl::Span<float> v) {
  const double correction1 = 1 - std::pow(s.beta1, s.step), correction2 = 1 - std::pow(s.beta2, s.step);
  const AdamWFactors factors = {static_cast<float>(s.gradient_scale),
                                static_cast<float>(1 - s.learning_rate * s.weight_decay),
                                static_cast<float>(1 - s.beta1),
                                static_cast<float>(s.beta2),
                                static_cast<float>(1 - s.beta2),
                                static_cast<float>(s.learning_rate / correction1),
                                static_cast<float>(1 / std::sqrt(correction2)),
                                static_cast<float>(s.epsilon)};
  HWY_DYNAMIC_DISPATCH(AdamWRange)
  (factors, gradient.data(), parameter.data(), m.data(), v.data(), gradient.size());
}

void Sgd(const SgdStep& s, absl::Span<const float> gradient, absl::Span<float> parameter,
         absl::Span<float> buffer) {
  const SgdFactors factors = {static_cast<float>(s.gradient_scale),
                              static_cast<float>(s.weight_decay),
                              static_cast<float>(s.momentum),
                              static_cast<float>(s.learning_rate),
                              s.nesterov,
                              s.step <= 1};
  HWY_DYNAMIC_DISPATCH(SgdRange)
  (factors, gradient.data(), parameter.data(), s.momentum != 0 ? buffer.data() : nullptr, gradient.size());
}

void UpdateAverage(double decay, absl::Span<const float> parameter, absl::Span<float> average) {
  HWY_DYNAMIC_DISPATCH(AverageRange)
  (static_cast<float>(1 - decay), parameter.data(), average.data(), parameter.size());
}

void AddInto(absl::Span<const float> from, absl::Span<float> sum) {
  HWY_DYNAMIC_DISPATCH(AddRange)(from.data(), sum.data(), from.size());
}

void AddScaledInto(float scale, absl::Span<const float> from, absl::Span<float> sum) {
  HWY_DYNAMIC_DISPATCH(AddScaledRange)(scale, from.data(), sum.data(), from.size());
}

void ScaledCopy(float scale, absl::Span<const float> from, absl::Span<float> to) {
  HWY_DYNAMIC_DISPATCH(ScaleRange)(scale, from.data(), to.data(), from.size());
}

void ChunkSumsOfSquares(absl::Span<const float> part, absl::Span<double> sums) {
  for (size_t i = 0; i < sums.size(); ++i) {
    const auto chunk = part.subspan(i * kNormChunk, kNormChunk);
    sums[i] = HWY_DYNAMIC_DISPATCH(SquaresOfChunk)(chunk.data(), chunk.size());
  }
}

double TreeSum(absl::Span<double> sums) {
  size_t count = sums.size();
  if (count == 0) return 0;
  while (count > 1) {
    for (size_t i = 0; i < count / 2; ++i) sums[i] = sums[2 * i] + sums[2 * i + 1];
    if (count % 2 == 1) sums[count / 2] = sums[count - 1];
    count = (count + 1) / 2;
  }
  return sums[0];
}

int64_t FindNonFinite(absl::Span<const float> values) {
  for (size_t first = 0; first < values.size(); first += kNormChunk) {
    const auto chunk = values.subspan(first, kNormChunk);
    if (HWY_DYNAMIC_DISPATCH(AllFinite)(chunk.data(), chunk.size())) continue;
    for (size_t i = 0; i < chunk.size(); ++i) {
      if (!std::isfinite(chunk[i])) return first + i;
    }
  }
  return -1;
}

}  // namespace lockstep::kernels
#endif  // HWY_ONCE
