#include <algorithm>
#include <cmath>

#include "kernels/cpu/factories.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/layer_norm.cc"
#include "hwy/foreach_target.h"
// After foreach_target.h.
#include "hwy/highway.h"
#include "kernels/cpu/vector_math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace lockstep::kernels::HWY_NAMESPACE {

void NormRows(const float* x, const float* gamma, const float* beta, float epsilon, int64_t rows,
              int64_t channels, float* y, float* mean, float* rstd) {
  const float inverse = 1.0f / channels;
  for (int64_t r = 0; r < rows; ++r) {
    const float* row = x + r * channels;
    V sum = hn::Zero(D()), squares = hn::Zero(D());
    ForVectors(channels, [&](size_t i, auto part) HWY_ATTR { sum = hn::Add(sum, part.Load(row + i)); });
    const float m = SumLanes(sum) * inverse;
    const V vm = Const(m);
    ForVectors(channels, [&](size_t i, auto part) HWY_ATTR {
      const V centred = part.Only(hn::Sub(part.Load(row + i), vm));
      squares = hn::MulAdd(centred, centred, squares);
    });
    const float s = 1.0f / std::sqrt(SumLanes(squares) * inverse + epsilon);
    const V vs = Const(s);
    ForVectors(channels, [&](size_t i, auto part) HWY_ATTR {
      const V xhat = hn::Mul(hn::Sub(part.Load(row + i), vm), vs);
      part.Store(hn::MulAdd(xhat, part.Load(gamma + i), part.Load(beta + i)), y + r * channels + i);
    });
    mean[r] = m;
    rstd[r] = s;
  }
}

// With g = dy gamma:  dx = rstd (g - mean(g) - xhat mean(g xhat)) [+ skip]. Adds to dgamma and dbeta.
void GradRows(const float* dy, const float* x, const float* gamma, const float* mean, const float* rstd,
              const float* skip, int64_t rows, int64_t channels, float* dx, float* dgamma, float* dbeta) {
  const float inverse = 1.0f / channels;
  for (int64_t r = 0; r < rows; ++r) {
    const int64_t at = r * channels;
    const V m = Const(mean[r]), s = Const(rstd[r]);
    V sum = hn::Zero(D()), product = hn::Zero(D());
    ForVectors(channels, [&](size_t i, auto part) HWY_ATTR {
      const V d = part.Load(dy + at + i), xhat = hn::Mul(hn::Sub(part.Load(x + at + i), m), s);
      const V g = hn::Mul(d, part.Load(gamma + i));
      sum = hn::Add(sum, g);  // lanes that do not exist have g = 0
      product = hn::MulAdd(g, xhat, product);
      part.Store(hn::MulAdd(d, xhat, part.Load(dgamma + i)), dgamma + i);
      part.Store(hn::Add(d, part.Load(dbeta + i)), dbeta + i);
    });
    const V c1 = Const(SumLanes(sum) * inverse), c2 = Const(SumLanes(product) * inverse);
    ForVectors(channels, [&](size_t i, auto part) HWY_ATTR {
      const V xhat = hn::Mul(hn::Sub(part.Load(x + at + i), m), s);
      const V g = hn::MulSub(part.Load(dy + at + i), part.Load(gamma + i), c1);
      V result = hn::Mul(s, hn::NegMulAdd(xhat, c2, g));
      if (skip) result = hn::Add(result, part.Load(skip + at + i));
      part.Store(result, dx + at + i);
    });
  }
}

}  // namespace lockstep::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lockstep::kernels::cpu {
namespace {

HWY_EXPORT(NormRows);
HWY_EXPORT(GradRows);

constexpr int64_t kBlockRows = 64;  // parameter gradients: fp32 within, double between

}  // namespace

KernelOr MakeLayerNorm(const OpSpec& spec) {
  const float epsilon = std::get<NormAttributes>(spec.attributes).epsilon;
  const int64_t rows = Rows(spec.inputs[0].shape), channels = Columns(spec.inputs[0].shape);
  return MakeFunctionKernel(0, [=](const KernelArgs& args) {
    HWY_DYNAMIC_DISPATCH(NormRows)
    (In(args, 0), In(args, 1), In(args, 2), epsilon, rows, channels, Out(args, 0), Out(args, 1),
     Out(args, 2));
  });
}

KernelOr MakeLayerNormGrad(const OpSpec& spec) {
  const bool residual = std::get<NormAttributes>(spec.attributes).residual;
  const int64_t rows = Rows(spec.inputs[0].shape), channels = Columns(spec.inputs[0].shape);
  ScratchPlan scratch;
  const size_t block_at = scratch.Take(2 * channels), total_at = scratch.Take<double>(2 * channels);
  return MakeFunctionKernel(scratch.bytes(), [=](const KernelArgs& args) {
    float* block = At(args, block_at);
    double* total = At<double>(args, total_at);
    std::fill_n(total, 2 * channels, 0.0);
    for (int64_t r = 0; r < rows; r += kBlockRows) {
      std::fill_n(block, 2 * channels, 0.0f);
      const int64_t at = r * channels;
      HWY_DYNAMIC_DISPATCH(GradRows)
      (In(args, 0) + at, In(args, 1) + at, In(args, 2), In(args, 3) + r, In(args, 4) + r,
       residual ? In(args, 5) + at : nullptr, std::min(kBlockRows, rows - r), channels, Out(args, 0) + at,
       block, block + channels);
      for (int64_t c = 0; c < 2 * channels; ++c) total[c] += block[c];
    }
    float *dgamma = Out(args, 1), *dbeta = Out(args, 2);
    for (int64_t c = 0; c < channels; ++c) {
      dgamma[c] = args.accumulate ? dgamma[c] + total[c] : total[c];
      dbeta[c] = args.accumulate ? dbeta[c] + total[channels + c] : total[channels + c];
    }
  });
}

}  // namespace lockstep::kernels::cpu
#endif  // HWY_ONCE
