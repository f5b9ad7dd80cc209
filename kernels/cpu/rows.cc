#include "kernels/cpu/rows.h"

#include <algorithm>
#include <cmath>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/rows.cc"
#include "hwy/foreach_target.h"
// After foreach_target.h.
#include "hwy/highway.h"
#include "kernels/cpu/vector_math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace lockstep::kernels::HWY_NAMESPACE {

// The sum of term(i, part) over the vectors of a row, in pieces.
template <class Term>
HWY_INLINE double SumInPieces(int64_t count, const Term& term) {
  const int64_t lanes = hn::Lanes(D()), piece = 64 * lanes;
  double total = 0;
  for (int64_t begin = 0; begin < count; begin += piece) {
    const int64_t end = std::min(count, begin + piece);
    V even = hn::Zero(D()), odd = hn::Zero(D());
    int64_t i = begin;
    for (; i + 2 * lanes <= end; i += 2 * lanes) {
      even = hn::Add(even, term(i, WholeVector()));
      odd = hn::Add(odd, term(i + lanes, WholeVector()));
    }
    for (; i + lanes <= end; i += lanes) even = hn::Add(even, term(i, WholeVector()));
    if (i < end) {
      const PartOfVector part{static_cast<size_t>(end - i)};
      odd = hn::Add(odd, part.Only(term(i, part)));
    }
    total += SumLanes(hn::Add(even, odd));
  }
  return total;
}

float MaxRow(const float* x, int64_t count) {
  const V lowest = Const(-HUGE_VALF);
  V best = lowest;
  ForVectors(count, [&](size_t i, auto part) HWY_ATTR {
    const V v = part.OnlyOr(part.Load(x + i), lowest);
    best = hn::IfThenElse(hn::Gt(v, best), v, best);
  });
  return hn::GetLane(hn::MaxOfLanes(D(), best));
}

double ExpSumRow(const float* x, float shift, float factor, float* y, int64_t count) {
  const V s = Const(shift), f = Const(factor);
  if (y == nullptr) {
    return SumInPieces(count,
                       [&](int64_t i, auto part) HWY_ATTR { return Exp(hn::Sub(part.Load(x + i), s)); });
  }
  return SumInPieces(count, [&](int64_t i, auto part) HWY_ATTR {
    const V e = Exp(hn::Sub(part.Load(x + i), s));
    part.Store(hn::Mul(e, f), y + i);
    return e;
  });
}

void Scale(float* x, float factor, int64_t count) {
  const V f = Const(factor);
  ForVectors(count, [&](size_t i, auto part) HWY_ATTR { part.Store(hn::Mul(part.Load(x + i), f), x + i); });
}

double DotRow(const float* a, const float* b, int64_t count) {
  return SumInPieces(
      count, [&](int64_t i, auto part) HWY_ATTR { return hn::Mul(part.Load(a + i), part.Load(b + i)); });
}

void ProbabilityGrad(const float* y, const float* dy, float shift, float factor, float* dx, int64_t count) {
  const V s = Const(shift), f = Const(factor);
  ForVectors(count, [&](size_t i, auto part) HWY_ATTR {
    part.Store(hn::Mul(hn::Mul(part.Load(y + i), f), hn::Sub(part.Load(dy + i), s)), dx + i);
  });
}

double Distance(const float* a, const float* b, int64_t count) {
  return SumInPieces(count, [&](int64_t i, auto part) HWY_ATTR {
    const V d = hn::Sub(part.Load(a + i), part.Load(b + i));
    return hn::Mul(d, d);
  });
}

void Difference(const float* a, const float* b, float factor, float* out, int64_t count) {
  const V f = Const(factor);
  ForVectors(count, [&](size_t i, auto part) HWY_ATTR {
    part.Store(hn::Mul(f, hn::Sub(part.Load(a + i), part.Load(b + i))), out + i);
  });
}

void Rotate(const float* x1, const float* x2, const float* cosine, const float* sine, float* y1, float* y2,
            int64_t count) {
  ForVectors(count, [&](size_t i, auto part) HWY_ATTR {
    const V a = part.Load(x1 + i), b = part.Load(x2 + i), c = part.Load(cosine + i), s = part.Load(sine + i);
    part.Store(hn::NegMulAdd(b, s, hn::Mul(a, c)), y1 + i);
    part.Store(hn::MulAdd(a, s, hn::Mul(b, c)), y2 + i);
  });
}

void Larger(const float* x, float place, float* best, float* at, int64_t count) {
  const V p = Const(place);
  ForVectors(count, [&](size_t i, auto part) HWY_ATTR {
    const V v = part.Load(x + i), b = part.Load(best + i);
    const auto take = hn::Or(hn::Gt(v, b), hn::IsNaN(v));
    part.Store(hn::IfThenElse(take, v, b), best + i);
    part.Store(hn::IfThenElse(take, p, part.Load(at + i)), at + i);
  });
}

}  // namespace lockstep::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lockstep::kernels::cpu {
namespace {
HWY_EXPORT(MaxRow);
HWY_EXPORT(ExpSumRow);
HWY_EXPORT(Scale);
HWY_EXPORT(DotRow);
HWY_EXPORT(ProbabilityGrad);
HWY_EXPORT(Distance);
HWY_EXPORT(Difference);
HWY_EXPORT(Rotate);
HWY_EXPORT(Larger);
}  // namespace

float MaxOf(const float* x, int64_t count) { return HWY_DYNAMIC_DISPATCH(MaxRow)(x, count); }

double ExpRow(const float* x, float shift, float factor, float* y, int64_t count) {
  return HWY_DYNAMIC_DISPATCH(ExpSumRow)(x, shift, factor, y, count);
}

void ScaleRow(float* x, float factor, int64_t count) { HWY_DYNAMIC_DISPATCH(Scale)(x, factor, count); }

double Dot(const float* a, const float* b, int64_t count) {
  return HWY_DYNAMIC_DISPATCH(DotRow)(a, b, count);
}

void ProbabilityGradRow(const float* y, const float* dy, float shift, float factor, float* dx,
                        int64_t count) {
  HWY_DYNAMIC_DISPATCH(ProbabilityGrad)(y, dy, shift, factor, dx, count);
}

double SquaredDistance(const float* a, const float* b, int64_t count) {
  return HWY_DYNAMIC_DISPATCH(Distance)(a, b, count);
}

void ScaledDifference(const float* a, const float* b, float factor, float* out, int64_t count) {
  HWY_DYNAMIC_DISPATCH(Difference)(a, b, factor, out, count);
}

void RotateRow(const float* x1, const float* x2, const float* cosine, const float* sine, float* y1, float* y2,
               int64_t count) {
  HWY_DYNAMIC_DISPATCH(Rotate)(x1, x2, cosine, sine, y1, y2, count);
}

void TakeLarger(const float* x, float place, float* best, float* at, int64_t count) {
  HWY_DYNAMIC_DISPATCH(Larger)(x, place, best, at, count);
}

}  // namespace lockstep::kernels::cpu
#endif  // HWY_ONCE
