#include <algorithm>
#include <cmath>
#include <cstring>

#include "kernels/cpu/factories.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/batch_norm.cc"
#include "hwy/foreach_target.h"
// After foreach_target.h.
#include "hwy/highway.h"
#include "kernels/cpu/vector_math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace lockstep::kernels::HWY_NAMESPACE {

// first[c] += sum of (x - shift), second[c] += sum of (x - shift)^2, over `rows` rows.
void MomentsBlock(const float* x, const float* shift, int64_t rows, int64_t channels, float* first,
                  float* second) {
  int64_t r = 0;
  for (; r + 4 <= rows; r += 4) {
    const float* row = x + r * channels;
    ForVectors(channels, [&](size_t i, auto part) HWY_ATTR {
      const V s = part.Load(shift + i);
      const V a = hn::Sub(part.Load(row + i), s), b = hn::Sub(part.Load(row + channels + i), s);
      const V c = hn::Sub(part.Load(row + 2 * channels + i), s),
              d = hn::Sub(part.Load(row + 3 * channels + i), s);
      const V sum = hn::Add(hn::Add(a, b), hn::Add(c, d));
      const V squares = hn::Add(hn::MulAdd(a, a, hn::Mul(b, b)), hn::MulAdd(c, c, hn::Mul(d, d)));
      part.Store(hn::Add(part.Load(first + i), sum), first + i);
      part.Store(hn::Add(part.Load(second + i), squares), second + i);
    });
  }
  for (; r < rows; ++r) {
    const float* row = x + r * channels;
    ForVectors(channels, [&](size_t i, auto part) HWY_ATTR {
      const V a = hn::Sub(part.Load(row + i), part.Load(shift + i));
      part.Store(hn::Add(part.Load(first + i), a), first + i);
      part.Store(hn::MulAdd(a, a, part.Load(second + i)), second + i);
    });
  }
}

// y = relu?(x scale + offset [+ residual])
template <bool kRelu, bool kResidual>
void NormaliseRows(const float* x, const float* scale, const float* offset, const float* residual,
                   int64_t rows, int64_t channels, float* y) {
  for (int64_t r = 0; r < rows; ++r) {
    const int64_t at = r * channels;
    ForVectors(channels, [&](size_t i, auto part) HWY_ATTR {
      V v = hn::MulAdd(part.Load(x + at + i), part.Load(scale + i), part.Load(offset + i));
      if constexpr (kResidual) v = hn::Add(v, part.Load(residual + at + i));
      if constexpr (kRelu) v = hn::IfThenZeroElse(hn::Lt(v, hn::Zero(D())), v);
      part.Store(v, y + at + i);
    });
  }
}

void Normalise(const float* x, const float* scale, const float* offset, const float* residual, bool relu,
               int64_t rows, int64_t channels, float* y) {
  if (relu && residual) return NormaliseRows<true, true>(x, scale, offset, residual, rows, channels, y);
  if (relu) return NormaliseRows<true, false>(x, scale, offset, residual, rows, channels, y);
  if (residual) return NormaliseRows<false, true>(x, scale, offset, residual, rows, channels, y);
  NormaliseRows<false, false>(x, scale, offset, residual, rows, channels, y);
}

template <bool kRelu, class Part>
HWY_INLINE V Masked(const float* dy, const float* y, size_t i, Part part) {
  const V g = part.Load(dy + i);
  if constexpr (kRelu) return hn::IfThenElseZero(hn::Gt(part.Load(y + i), hn::Zero(D())), g);
  return g;
}

// first[c] += sum of g, second[c] += sum of g (x - mean); g is dy where y > 0 (with relu).
template <bool kRelu>
void GradMomentsRows(const float* dy, const float* y, const float* x, const float* mean, int64_t rows,
                     int64_t channels, float* first, float* second) {
  for (int64_t r = 0; r < rows; r += 2) {
    const int64_t at = r * channels, next = r + 1 < rows ? at + channels : -1;
    ForVectors(channels, [&](size_t i, auto part) HWY_ATTR {
      const V m = part.Load(mean + i);
      const V g = Masked<kRelu>(dy, y, at + i, part);
      V sum = g, product = hn::Mul(g, hn::Sub(part.Load(x + at + i), m));
      if (next >= 0) {
        const V h = Masked<kRelu>(dy, y, next + i, part);
        sum = hn::Add(sum, h);
        product = hn::MulAdd(h, hn::Sub(part.Load(x + next + i), m), product);
      }
      part.Store(hn::Add(part.Load(first + i), sum), first + i);
      part.Store(hn::Add(part.Load(second + i), product), second + i);
    });
  }
}

void GradMoments(const float* dy, const float* y, const float* x, const float* mean, int64_t rows,
                 int64_t channels, float* first, float* second) {
  if (y) return GradMomentsRows<true>(dy, y, x, mean, rows, channels, first, second);
  GradMomentsRows<false>(dy, y, x, mean, rows, channels, first, second);
}

// dx = a (g - m) - b (x - mean), dresidual = g.
template <bool kRelu, bool kResidual>
void InputGradRows(const float* dy, const float* y, const float* x, const float* mean, const float* a,
                   const float* b, const float* m, int64_t rows, int64_t channels, float* dx,
                   float* dresidual) {
  for (int64_t r = 0; r < rows; ++r) {
    const int64_t at = r * channels;
    ForVectors(channels, [&](size_t i, auto part) HWY_ATTR {
      const V g = Masked<kRelu>(dy, y, at + i, part);
      const V centred = hn::Sub(part.Load(x + at + i), part.Load(mean + i));
      const V scaled = hn::Mul(part.Load(a + i), hn::Sub(g, part.Load(m + i)));
      if constexpr (kResidual) part.Store(g, dresidual + at + i);
      part.Store(hn::NegMulAdd(part.Load(b + i), centred, scaled), dx + at + i);
    });
  }
}

void InputGrad(const float* dy, const float* y, const float* x, const float* mean, const float* a,
               const float* b, const float* m, int64_t rows, int64_t channels, float* dx, float* dresidual) {
  if (y && dresidual)
    return InputGradRows<true, true>(dy, y, x, mean, a, b, m, rows, channels, dx, dresidual);
  if (y) return InputGradRows<true, false>(dy, y, x, mean, a, b, m, rows, channels, dx, dresidual);
  if (dresidual) return InputGradRows<false, true>(dy, y, x, mean, a, b, m, rows, channels, dx, dresidual);
  InputGradRows<false, false>(dy, y, x, mean, a, b, m, rows, channels, dx, dresidual);
}

}  // namespace lockstep::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lockstep::kernels::cpu {
namespace {

HWY_EXPORT(MomentsBlock);
HWY_EXPORT(Normalise);
HWY_EXPORT(GradMoments);
HWY_EXPORT(InputGrad);

constexpr int64_t kBlockRows = 64;  // fp32 within, double between

// Where the sums of two quantities per channel live in scratch.
struct Sums {
  size_t block = 0, totals = 0;
  int64_t channels = 0;

  Sums(ScratchPlan& scratch, int64_t channels) : channels(channels) {
    block = scratch.Take(2 * channels);
    totals = scratch.Take<double>(2 * channels);
  }

  // totals[0 .. C) and [C .. 2C) of what sum_block(first row, rows, first, second) adds up.
  template <typename SumBlock>
  const double* Run(const KernelArgs& args, int64_t rows, const SumBlock& sum_block) const {
    float* sums = At(args, block);
    double* total = At<double>(args, totals);
    std::fill_n(total, 2 * channels, 0.0);
    for (int64_t r = 0; r < rows; r += kBlockRows) {
      std::fill_n(sums, 2 * channels, 0.0f);
      sum_block(r, std::min(kBlockRows, rows - r), sums, sums + channels);
      for (int64_t c = 0; c < 2 * channels; ++c) total[c] += sums[c];
    }
    return total;
  }
};

}  // namespace

KernelOr MakeBatchNorm(const OpSpec& spec) {
  const auto attributes = std::get<NormAttributes>(spec.attributes);
  const int64_t rows = Rows(spec.inputs[0].shape), channels = Columns(spec.inputs[0].shape);
  if (rows == 0)
    return absl::InvalidArgumentError(absl::StrCat(spec.ToString(), ": no rows to take statistics of"));
  ScratchPlan scratch;
  const Sums sums(scratch, channels);
  const size_t scale_at = scratch.Take(channels), offset_at = scratch.Take(channels);
  return MakeFunctionKernel(scratch.bytes(), [=](const KernelArgs& args) {
    const float *x = In(args, 0), *gamma = In(args, 1), *beta = In(args, 2);
    float *mean = Out(args, 1), *rstd = Out(args, 2), *variance = Out(args, 3);
    // The moments are taken about the mean of the first rows, which keeps the digits of a variance far below
    // mean^2.
    float *shift = At(args, scale_at), *offset = At(args, offset_at), *scale = shift;
    const int64_t few = std::min<int64_t>(rows, 16);
    std::fill_n(mean, channels, 0.0f);
    std::fill_n(shift, channels, 0.0f);
    std::fill_n(offset, channels, 0.0f);
    HWY_DYNAMIC_DISPATCH(MomentsBlock)(x, mean, few, channels, shift, offset);
    for (int64_t c = 0; c < channels; ++c) shift[c] /= few;
    const double* total = sums.Run(args, rows, [&](int64_t r, int64_t count, float* first, float* second) {
      HWY_DYNAMIC_DISPATCH(MomentsBlock)(x + r * channels, shift, count, channels, first, second);
    });
    for (int64_t c = 0; c < channels; ++c) {
      const double m = total[c] / rows, biased = std::max(0.0, total[channels + c] / rows - m * m);
      const double deviation = std::isnan(total[channels + c]) ? total[channels + c] : biased;
      const double mean_c = shift[c] + m, rstd_c = 1.0 / std::sqrt(deviation + attributes.epsilon);
      mean[c] = mean_c;
      rstd[c] = rstd_c;
      variance[c] = deviation * rows / std::max<int64_t>(1, rows - 1);
      scale[c] = gamma[c] * rstd_c;
      offset[c] = beta[c] - mean_c * (gamma[c] * rstd_c);
    }
    HWY_DYNAMIC_DISPATCH(Normalise)
    (x, scale, offset, attributes.residual ? In(args, 3) : nullptr, attributes.relu, rows, channels,
     Out(args, 0));
  });
}

KernelOr MakeBatchNormInference(const OpSpec& spec) {
  const auto attributes = std::get<NormAttributes>(spec.attributes);
  const int64_t rows = Rows(spec.inputs[0].shape), channels = Columns(spec.inputs[0].shape);
  ScratchPlan scratch;
  const size_t scale_at = scratch.Take(channels), offset_at = scratch.Take(channels);
  return MakeFunctionKernel(scratch.bytes(), [=](const KernelArgs& args) {
    const float *gamma = In(args, 1), *beta = In(args, 2), *mean = In(args, 3), *variance = In(args, 4);
    float *scale = At(args, scale_at), *offset = At(args, offset_at);
    for (int64_t c = 0; c < channels; ++c) {
      const double s = gamma[c] / std::sqrt(static_cast<double>(variance[c]) + attributes.epsilon);
      scale[c] = s;
      offset[c] = beta[c] - mean[c] * s;
    }
    HWY_DYNAMIC_DISPATCH(Normalise)
    (In(args, 0), scale, offset, attributes.residual ? In(args, 5) : nullptr, attributes.relu, rows, channels,
     Out(args, 0));
  });
}

// With g = dy (masked), xhat = (x - mean) rstd:  dgamma = sum g xhat,  dbeta = sum g,
// dx = gamma rstd (g - dbeta / R - xhat dgamma / R)   (Ioffe, Szegedy, section 3).
KernelOr MakeBatchNormGrad(const OpSpec& spec) {
  const auto attributes = std::get<NormAttributes>(spec.attributes);
  const int64_t rows = Rows(spec.inputs[0].shape), channels = Columns(spec.inputs[0].shape);
  if (rows == 0)
    return absl::InvalidArgumentError(absl::StrCat(spec.ToString(), ": no rows to take statistics of"));
  ScratchPlan scratch;
  const Sums sums(scratch, channels);
  const size_t a_at = scratch.Take(channels), b_at = scratch.Take(channels), m_at = scratch.Take(channels);
  return MakeFunctionKernel(scratch.bytes(), [=](const KernelArgs& args) {
    const float *dy = In(args, 0), *x = In(args, 1), *y = attributes.relu ? In(args, 2) : nullptr;
    const int at = 2 + attributes.relu;
    const float *gamma = In(args, at), *mean = In(args, at + 1), *rstd = In(args, at + 2);
    float *dgamma = Out(args, 1), *dbeta = Out(args, 2), *a = At(args, a_at), *b = At(args, b_at),
          *m = At(args, m_at);
    const double* total = sums.Run(args, rows, [&](int64_t r, int64_t count, float* first, float* second) {
      const int64_t from = r * channels;
      HWY_DYNAMIC_DISPATCH(GradMoments)
      (dy + from, y ? y + from : nullptr, x + from, mean, count, channels, first, second);
    });
    for (int64_t c = 0; c < channels; ++c) {
      const double sum = total[c], product = total[channels + c] * rstd[c],
                   scale = double{gamma[c]} * rstd[c];
      a[c] = scale;
      b[c] = scale * product * rstd[c] / rows;
      m[c] = sum / rows;
      dgamma[c] = args.accumulate ? dgamma[c] + product : product;
      dbeta[c] = args.accumulate ? dbeta[c] + sum : sum;
    }
    HWY_DYNAMIC_DISPATCH(InputGrad)
    (dy, y, x, mean, a, b, m, rows, channels, Out(args, 0), attributes.residual ? Out(args, 3) : nullptr);
  });
}

}  // namespace lockstep::kernels::cpu
#endif  // HWY_ONCE
