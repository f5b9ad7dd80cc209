#include "kernels/cpu/tile_ops.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/tile_ops.cc"
#include "hwy/foreach_target.h"
// After foreach_target.h.
#include "hwy/highway.h"
#include "kernels/cpu/vector_math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace lockstep::kernels::HWY_NAMESPACE {

using cpu::TileFunction;
using cpu::TileOperands;

// Loops over vectors and the rest. F::Apply takes the operands and the immediate.
template <class F>
void Map1(const TileOperands& o) {
  const size_t lanes = hn::Lanes(D());
  const V immediate = Const(o.immediate);
  size_t i = 0;
  for (; i + lanes <= o.count; i += lanes) {
    hn::StoreU(F::Apply(hn::LoadU(D(), o.a + i), immediate), D(), o.result + i);
  }
  if (i < o.count) StorePart(F::Apply(LoadPart(o.a + i, o.count - i), immediate), o.result + i, o.count - i);
}

template <class F>
void Map2(const TileOperands& o) {
  const size_t lanes = hn::Lanes(D());
  size_t i = 0;
  for (; i + lanes <= o.count; i += lanes) {
    hn::StoreU(F::Apply(hn::LoadU(D(), o.a + i), hn::LoadU(D(), o.b + i)), D(), o.result + i);
  }
  if (i < o.count) {
    const size_t rest = o.count - i;
    StorePart(F::Apply(LoadPart(o.a + i, rest), LoadPart(o.b + i, rest)), o.result + i, rest);
  }
}

template <class F>
void Map3(const TileOperands& o) {
  const size_t lanes = hn::Lanes(D());
  size_t i = 0;
  for (; i + lanes <= o.count; i += lanes) {
    hn::StoreU(F::Apply(hn::LoadU(D(), o.a + i), hn::LoadU(D(), o.b + i), hn::LoadU(D(), o.c + i)), D(),
               o.result + i);
  }
  if (i < o.count) {
    const size_t rest = o.count - i;
    StorePart(F::Apply(LoadPart(o.a + i, rest), LoadPart(o.b + i, rest), LoadPart(o.c + i, rest)),
              o.result + i, rest);
  }
}

#define LOCKSTEP_UNARY(name, expression)          \
  struct name {                                   \
    static HWY_INLINE V Apply(V a, V immediate) { \
      (void)immediate;                            \
      return expression;                          \
    }                                             \
  }
#define LOCKSTEP_BINARY(name, expression)                      \
  struct name {                                                \
    static HWY_INLINE V Apply(V a, V b) { return expression; } \
  }
#define LOCKSTEP_TERNARY(name, expression)                          \
  struct name {                                                     \
    static HWY_INLINE V Apply(V a, V b, V c) { return expression; } \
  }

LOCKSTEP_UNARY(NegOp, hn::Neg(a));
LOCKSTEP_UNARY(AbsOp, hn::Abs(a));
LOCKSTEP_UNARY(SquareOp, hn::Mul(a, a));
LOCKSTEP_UNARY(SqrtOp, hn::Sqrt(a));
LOCKSTEP_UNARY(RsqrtOp, hn::Div(Const(1.0f), hn::Sqrt(a)));
LOCKSTEP_UNARY(ReciprocalOp, hn::Div(Const(1.0f), a));
LOCKSTEP_UNARY(ExpOp, Exp(a));
LOCKSTEP_UNARY(LogOp, Log(a));
LOCKSTEP_UNARY(ScaleOp, hn::Mul(a, immediate));
LOCKSTEP_UNARY(ShiftOp, hn::Add(a, immediate));
LOCKSTEP_UNARY(ReluOp, hn::IfThenZeroElse(hn::Lt(a, hn::Zero(D())), a));
LOCKSTEP_UNARY(TanhOp, Tanh(a));
LOCKSTEP_UNARY(SigmoidOp, Sigmoid(a));
LOCKSTEP_UNARY(SiluOp, hn::Mul(a, Sigmoid(a)));
LOCKSTEP_UNARY(GeluTanhOp, GeluTanh(a));
LOCKSTEP_UNARY(GeluErfOp, GeluErf(a));

LOCKSTEP_BINARY(AddOp, hn::Add(a, b));
LOCKSTEP_BINARY(SubOp, hn::Sub(a, b));
LOCKSTEP_BINARY(MulOp, hn::Mul(a, b));
LOCKSTEP_BINARY(DivOp, hn::Div(a, b));
LOCKSTEP_BINARY(MaxOp, hn::IfThenElse(hn::Or(hn::Gt(a, b), hn::IsNaN(a)), a, b));
LOCKSTEP_BINARY(MinOp, hn::IfThenElse(hn::Or(hn::Lt(a, b), hn::IsNaN(a)), a, b));
LOCKSTEP_BINARY(GreaterOp, hn::IfThenElseZero(hn::Gt(a, b), Const(1.0f)));
LOCKSTEP_BINARY(EqualOp, hn::IfThenElseZero(hn::Eq(a, b), Const(1.0f)));
LOCKSTEP_BINARY(ReluGradOp, hn::IfThenElseZero(hn::Gt(a, hn::Zero(D())), b));
LOCKSTEP_BINARY(TanhGradOp, hn::Mul(b, hn::NegMulAdd(a, a, Const(1.0f))));
LOCKSTEP_BINARY(SigmoidGradOp, hn::Mul(b, hn::NegMulAdd(a, a, a)));
LOCKSTEP_BINARY(GeluTanhGradOp, hn::Mul(b, GeluTanhSlope(a)));
LOCKSTEP_BINARY(GeluErfGradOp, hn::Mul(b, GeluErfSlope(a)));

struct SiluGradOp {  // s + x s (1 - s)
  static HWY_INLINE V Apply(V a, V b) {
    const V s = Sigmoid(a);
    return hn::Mul(b, hn::MulAdd(a, hn::NegMulAdd(s, s, s), s));
  }
};

LOCKSTEP_TERNARY(SelectOp, hn::IfThenElse(hn::Ne(a, hn::Zero(D())), b, c));
LOCKSTEP_TERNARY(MulAddOp, hn::MulAdd(a, b, c));

TileFunction Find(ProgramOp op) {
  switch (op) {
    case ProgramOp::kNeg:
      return Map1<NegOp>;
    case ProgramOp::kAbs:
      return Map1<AbsOp>;
    case ProgramOp::kSquare:
      return Map1<SquareOp>;
    case ProgramOp::kSqrt:
      return Map1<SqrtOp>;
    case ProgramOp::kRsqrt:
      return Map1<RsqrtOp>;
    case ProgramOp::kReciprocal:
      return Map1<ReciprocalOp>;
    case ProgramOp::kExp:
      return Map1<ExpOp>;
    case ProgramOp::kLog:
      return Map1<LogOp>;
    case ProgramOp::kScale:
      return Map1<ScaleOp>;
    case ProgramOp::kShift:
      return Map1<ShiftOp>;
    case ProgramOp::kRelu:
      return Map1<ReluOp>;
    case ProgramOp::kTanh:
      return Map1<TanhOp>;
    case ProgramOp::kSigmoid:
      return Map1<SigmoidOp>;
    case ProgramOp::kSilu:
      return Map1<SiluOp>;
    case ProgramOp::kGeluTanh:
      return Map1<GeluTanhOp>;
    case ProgramOp::kGeluErf:
      return Map1<GeluErfOp>;
    case ProgramOp::kAdd:
      return Map2<AddOp>;
    case ProgramOp::kSub:
      return Map2<SubOp>;
    case ProgramOp::kMul:
      return Map2<MulOp>;
    case ProgramOp::kDiv:
      return Map2<DivOp>;
    case ProgramOp::kMax:
      return Map2<MaxOp>;
    case ProgramOp::kMin:
      return Map2<MinOp>;
    case ProgramOp::kGreater:
      return Map2<GreaterOp>;
    case ProgramOp::kEqual:
      return Map2<EqualOp>;
    case ProgramOp::kReluGrad:
      return Map2<ReluGradOp>;
    case ProgramOp::kTanhGrad:
      return Map2<TanhGradOp>;
    case ProgramOp::kSigmoidGrad:
      return Map2<SigmoidGradOp>;
    case ProgramOp::kSiluGrad:
      return Map2<SiluGradOp>;
    case ProgramOp::kGeluTanhGrad:
      return Map2<GeluTanhGradOp>;
    case ProgramOp::kGeluErfGrad:
      return Map2<GeluErfGradOp>;
    case ProgramOp::kSelect:
      return Map3<SelectOp>;
    case ProgramOp::kMulAdd:
      return Map3<MulAddOp>;
    case ProgramOp::kLoad:
    case ProgramOp::kResult:
    case ProgramOp::kConstant:
    case ProgramOp::kDropout:
      return nullptr;
  }
  return nullptr;
}

using U = hn::ScalableTag<uint32_t>;
using VU = hn::Vec<U>;

// Both halves of the 64-bit products of two vectors of words.
HWY_INLINE void MulWords(VU a, VU b, VU& high, VU& low) {
#if HWY_TARGET == HWY_SCALAR
  const uint64_t product = static_cast<uint64_t>(hn::GetLane(a)) * hn::GetLane(b);
  high = hn::Set(U(), static_cast<uint32_t>(product >> 32));
  low = hn::Set(U(), static_cast<uint32_t>(product));
#else
  using Wide = hn::RepartitionToWide<U>;
  const auto even = hn::MulEven(a, b);
  const auto odd = hn::MulEven(hn::BitCast(U(), hn::ShiftRight<32>(hn::BitCast(Wide(), a))), b);
  high = hn::OddEven(hn::BitCast(U(), odd), hn::BitCast(U(), hn::ShiftRight<32>(even)));
  low = hn::Mul(a, b);
#endif
}

// Philox4x32-10 (runtime/core/rng.h) for counters counter, counter + 1, .. in the lanes; words[j] gets word j
// of each.
HWY_INLINE void PhiloxLanes(uint64_t key, uint64_t counter, uint64_t position, VU words[4]) {
  const U u;
  const uint32_t low =
      static_cast<uint32_t>(counter);  // a multiple of 16, so that adding a lane never carries
  VU c0 = hn::Add(hn::Set(u, low), hn::Iota(u, 0)), c1 = hn::Set(u, static_cast<uint32_t>(counter >> 32));
  VU c2 = hn::Set(u, static_cast<uint32_t>(position)), c3 = hn::Set(u, static_cast<uint32_t>(position >> 32));
  uint32_t k0 = static_cast<uint32_t>(key), k1 = static_cast<uint32_t>(key >> 32);
  const VU m0 = hn::Set(u, 0xD2511F53u), m1 = hn::Set(u, 0xCD9E8D57u);
  for (int round = 0; round < 10; ++round) {
    VU high0, low0, high1, low1;
    MulWords(c0, m0, high0, low0);
    MulWords(c2, m1, high1, low1);
    c0 = hn::Xor(hn::Xor(high1, c1), hn::Set(u, k0));
    c2 = hn::Xor(hn::Xor(high0, c3), hn::Set(u, k1));
    c1 = low1;
    c3 = low0;
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  words[0] = c0;
  words[1] = c1;
  words[2] = c2;
  words[3] = c3;
}

// The factors (0 or 1 / (1 - rate)) of elements group * 64 .. group * 64 + 63 of the sample at `position`.
HWY_INLINE void DropoutFactors(uint64_t key, int64_t position, uint64_t group, V rate, V scale,
                               float* factors) {
  const size_t lanes = hn::Lanes(U());
  for (size_t lane = 0; lane < 16; lane += lanes) {
    VU words[4];
    PhiloxLanes(key, group * 16 + lane, static_cast<uint64_t>(position), words);
    for (int j = 0; j < 4; ++j) {
      const auto bits = hn::BitCast(hn::RebindToSigned<U>(), hn::ShiftRight<8>(words[j]));
      const V uniform = hn::Mul(hn::ConvertTo(D(), bits), Const(0x1p-24f));
      hn::StoreU(hn::IfThenElseZero(hn::Ge(uniform, rate), scale), D(), factors + j * 16 + lane);
    }
  }
}

void Dropout(uint64_t key, int64_t position, uint64_t first, float rate, const float* a, float* result,
             size_t count) {
  const V rates = Const(rate), scale = Const(1.0f / (1.0f - rate));
  HWY_ALIGN float factors[64];
  size_t i = 0;
  while (i < count) {
    const size_t from = (first + i) % 64, part = std::min<size_t>(64 - from, count - i);
    DropoutFactors(key, position, (first + i) / 64, rates, scale, factors);
    const TileOperands product = {a + i, factors + from, nullptr, result + i, part, 0};
    Map2<MulOp>(product);
    i += part;
  }
}

void Accumulate(const float* a, float* sum, size_t count) { Map2<AddOp>({sum, a, nullptr, sum, count, 0}); }

}  // namespace lockstep::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lockstep::kernels::cpu {

HWY_EXPORT(Find);
HWY_EXPORT(Dropout);
HWY_EXPORT(Accumulate);

TileFunction FindTileFunction(ProgramOp op) { return HWY_DYNAMIC_DISPATCH(Find)(op); }

void DropoutTile(uint64_t key, int64_t position, uint64_t first, float rate, const float* a, float* result,
                 size_t count) {
  HWY_DYNAMIC_DISPATCH(Dropout)(key, position, first, rate, a, result, count);
}

void AddTile(const float* a, float* sum, size_t count) { HWY_DYNAMIC_DISPATCH(Accumulate)(a, sum, count); }

}  // namespace lockstep::kernels::cpu
#endif  // HWY_ONCE
