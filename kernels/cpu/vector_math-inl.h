// Functions of one vector that several kernels share. Included once for each instruction set (Highway's way),
// inside no namespace. All keep NaN, so that a number gone wrong reaches the loss and is seen.
#if defined(LOCKSTEP_KERNELS_CPU_VECTOR_MATH_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LOCKSTEP_KERNELS_CPU_VECTOR_MATH_INL_H_
#undef LOCKSTEP_KERNELS_CPU_VECTOR_MATH_INL_H_
#else
#define LOCKSTEP_KERNELS_CPU_VECTOR_MATH_INL_H_
#endif

#include "hwy/contrib/math/math-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace lockstep::kernels::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

using D = hn::ScalableTag<float>;
using V = hn::Vec<D>;

HWY_INLINE V Const(float value) { return hn::Set(D(), value); }

HWY_INLINE V KeepNaN(V x, V y) { return hn::IfThenElse(hn::IsNaN(x), x, y); }

// Highway's Exp is for arguments up to 104 and turns NaN into 0.
HWY_INLINE V Exp(V x) {
  const V limit = Const(104.0f);
  return KeepNaN(x, hn::Exp(D(), hn::Min(x, limit)));
}

HWY_INLINE V Log(V x) {
  // Highway's Log wants normal positive numbers; the rest is set right afterwards.
  const V zero = hn::Zero(D());
  V y = hn::Log(D(), x);
  y = hn::IfThenElse(hn::Eq(x, zero), Const(-HUGE_VALF), y);
  y = hn::IfThenElse(hn::Eq(x, Const(HUGE_VALF)), x, y);
  return hn::IfThenElse(hn::Or(hn::Lt(x, zero), hn::IsNaN(x)), Const(NAN), y);
}

HWY_INLINE V Tanh(V x) { return KeepNaN(x, hn::Tanh(D(), x)); }

HWY_INLINE V Sigmoid(V x) { return hn::Div(Const(1.0f), hn::Add(Const(1.0f), Exp(hn::Neg(x)))); }

// Two polynomials fitted for this purpose (least squares on Chebyshev nodes): erf(x) = x P(x^2) below 1, and
// 1 - exp(-Q(x)) above. Largest error 1.4e-7.
HWY_INLINE V Erf(V x) {
  const V a = hn::Min(hn::Abs(x), Const(4.0f)), z = hn::Mul(x, x);
  V p = Const(7.882497448008507e-05f);
  p = hn::MulAdd(p, z, Const(-0.0008018855005502701f));
  p = hn::MulAdd(p, z, Const(0.005189312156289816f));
  p = hn::MulAdd(p, z, Const(-0.02685432881116867f));
  p = hn::MulAdd(p, z, Const(0.11283597350120544f));
  p = hn::MulAdd(p, z, Const(-0.3761262595653534f));
  p = hn::MulAdd(p, z, Const(1.1283791065216064f));
  V q = Const(2.1179030227358453e-05f);
  q = hn::MulAdd(q, a, Const(-0.00043525893124751747f));
  q = hn::MulAdd(q, a, Const(0.00417409697547555f));
  q = hn::MulAdd(q, a, Const(-0.02512531355023384f));
  q = hn::MulAdd(q, a, Const(0.108286052942276f));
  q = hn::MulAdd(q, a, Const(0.6333442330360413f));
  q = hn::MulAdd(q, a, Const(1.1295149326324463f));
  q = hn::MulAdd(q, a, Const(-0.00017443843535147607f));
  const V far = hn::CopySign(hn::Sub(Const(1.0f), Exp(hn::Neg(q))), x);
  return KeepNaN(x, hn::IfThenElse(hn::Lt(a, Const(1.0f)), hn::Mul(x, p), far));
}

constexpr float kSqrtTwoOverPi = 0.7978845608028654f, kGeluCubic = 0.044715f;

// sigmoid(2u) with u as in GELU's tanh form, since (1 + tanh u) / 2 = sigmoid(2u).
HWY_INLINE V GeluGate(V x) {
  const V square = hn::Mul(x, x);
  const V u =
      hn::Mul(x, hn::MulAdd(square, Const(2 * kSqrtTwoOverPi * kGeluCubic), Const(2 * kSqrtTwoOverPi)));
  return Sigmoid(u);
}

HWY_INLINE V GeluTanh(V x) { return hn::Mul(x, GeluGate(x)); }

HWY_INLINE V GeluTanhSlope(V x) {
  const V s = GeluGate(x);
  const V du = hn::MulAdd(hn::Mul(x, x), Const(6 * kSqrtTwoOverPi * kGeluCubic), Const(2 * kSqrtTwoOverPi));
  return hn::MulAdd(hn::Mul(x, du), hn::NegMulAdd(s, s, s), s);
}

HWY_INLINE V GeluErf(V x) {
  const V half = hn::Mul(x, Const(0.5f));
  return hn::MulAdd(half, Erf(hn::Mul(x, Const(0.7071067811865476f))), half);
}

HWY_INLINE V GeluErfSlope(V x) {
  const V cdf = hn::MulAdd(Const(0.5f), Erf(hn::Mul(x, Const(0.7071067811865476f))), Const(0.5f));
  const V density = hn::Mul(Const(0.3989422804014327f), Exp(hn::Mul(Const(-0.5f), hn::Mul(x, x))));
  return hn::MulAdd(x, density, cdf);
}

// The first `count` lanes from memory that ends there, zeros after them; nothing beyond is read.
HWY_INLINE V LoadPart(const float* from, size_t count) {
  HWY_ALIGN float lanes[hn::MaxLanes(D())] = {};
  for (size_t i = 0; i < count; ++i) lanes[i] = from[i];
  return hn::Load(D(), lanes);
}

HWY_INLINE void StorePart(V v, float* to, size_t count) {
  HWY_ALIGN float lanes[hn::MaxLanes(D())];
  hn::Store(v, D(), lanes);
  for (size_t i = 0; i < count; ++i) to[i] = lanes[i];
}

// How the body of ForVectors touches memory: whole vectors, or the part that is left at the end of a row.
struct WholeVector {
  HWY_INLINE V Load(const float* from) const { return hn::LoadU(D(), from); }
  HWY_INLINE void Store(V v, float* to) const { hn::StoreU(v, D(), to); }
  HWY_INLINE V Only(V v) const { return v; }
  HWY_INLINE V OnlyOr(V v, V) const { return v; }
};

struct PartOfVector {
  size_t count;
  HWY_INLINE V Load(const float* from) const { return LoadPart(from, count); }
  HWY_INLINE void Store(V v, float* to) const { StorePart(v, to, count); }
  // v in the lanes that exist, 0 (or `other`) in the others: for sums (and maxima) over lanes.
  HWY_INLINE V Only(V v) const { return hn::IfThenElseZero(hn::FirstN(D(), count), v); }
  HWY_INLINE V OnlyOr(V v, V other) const { return hn::IfThenElse(hn::FirstN(D(), count), v, other); }
};

// body(i, part) for the vectors that begin at elements i = 0, lanes, .. of `count`.
template <class Body>
HWY_INLINE void ForVectors(size_t count, const Body& body) {
  const size_t lanes = hn::Lanes(D());
  size_t i = 0;
  for (; i + lanes <= count; i += lanes) body(i, WholeVector());
  if (i < count) body(i, PartOfVector{count - i});
}

HWY_INLINE float SumLanes(V v) { return hn::GetLane(hn::SumOfLanes(D(), v)); }

}  // namespace lockstep::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // LOCKSTEP_KERNELS_CPU_VECTOR_MATH_INL_H_
