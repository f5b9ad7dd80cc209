#include "runtime/data/image/colour.h"

#include <algorithm>
#include <cstring>

#include "runtime/core/rng.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "runtime/data/image/colour.cc"
#include "hwy/foreach_target.h"  // compiles this file once for each instruction set
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace lockstep::data::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

using D = hn::CappedTag<float, kMostLanes>;
using V = hn::Vec<D>;

HWY_INLINE V Const(float value) { return hn::Set(D(), value); }
HWY_INLINE V Cut(V v) { return hn::Min(hn::Max(v, hn::Zero(D())), Const(255.0f)); }
HWY_INLINE V Luma(V r, V g, V b) {
  return hn::Add(hn::Add(hn::Mul(Const(0.299f), r), hn::Mul(Const(0.587f), g)), hn::Mul(Const(0.114f), b));
}
// pivot + factor * (v - pivot)
HWY_INLINE V Spread(V v, V pivot, V factor) {
  return Cut(hn::Add(pivot, hn::Mul(factor, hn::Sub(v, pivot))));
}

// Brightness in place; returns the sum of the rounded lumas. Pixels behind the last, up to a whole vector,
// are read and must be 0. Integers, because their sum does not depend on its order.
int64_t Brighten(float factor, int64_t count, float* pixels) {
  const D d;
  const hn::Rebind<int32_t, D> i32;
  auto sum = hn::Zero(i32);
  for (int64_t i = 0; i < count; i += static_cast<int64_t>(hn::Lanes(d))) {
    V r, g, b, x;
    hn::LoadInterleaved4(d, pixels + 4 * i, r, g, b, x);
    r = Cut(hn::Mul(Const(factor), r));
    g = Cut(hn::Mul(Const(factor), g));
    b = Cut(hn::Mul(Const(factor), b));
    hn::StoreInterleaved4(r, g, b, x, d, pixels + 4 * i);
    sum = hn::Add(sum, hn::ConvertTo(i32, hn::Add(Luma(r, g, b), Const(0.5f))));
  }
  return hn::GetLane(hn::SumOfLanes(i32, sum));
}

void Finish(const Jitter& jitter, float mean, const Normalisation& normalisation, int64_t count,
            float* pixels, float* out) {
  const D d;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  const V contrast = Const(jitter.contrast), saturation = Const(jitter.saturation), pivot = Const(mean);
  const bool any = jitter.contrast != 1 || jitter.saturation != 1;
  for (int64_t i = 0; i < count; i += lanes) {
    V r, g, b, x;
    hn::LoadInterleaved4(d, pixels + 4 * i, r, g, b, x);
    if (any) {
      r = Spread(r, pivot, contrast);
      g = Spread(g, pivot, contrast);
      b = Spread(b, pivot, contrast);
      const V luma = Luma(r, g, b);
      r = Spread(r, luma, saturation);
      g = Spread(g, luma, saturation);
      b = Spread(b, luma, saturation);
    }
    r = hn::Add(hn::Mul(Const(normalisation.scale[0]), r), Const(normalisation.offset[0]));
    g = hn::Add(hn::Mul(Const(normalisation.scale[1]), g), Const(normalisation.offset[1]));
    b = hn::Add(hn::Mul(Const(normalisation.scale[2]), b), Const(normalisation.offset[2]));
    if (i + lanes <= count) {
      hn::StoreInterleaved3(r, g, b, d, out + 3 * i);
      continue;
    }
    HWY_ALIGN float last[3 * kMostLanes];
    hn::StoreInterleaved3(r, g, b, d, last);
    std::memcpy(out + 3 * i, last, static_cast<size_t>(count - i) * 3 * sizeof(float));
  }
}

}  // namespace lockstep::data::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lockstep::data {

HWY_EXPORT(Brighten);
HWY_EXPORT(Finish);

namespace {

constexpr uint64_t kJitterSite = 11;  // behind those of crop.h

float Factor(float range, uint32_t word) { return 1 + range * (2 * UniformFloat(word) - 1); }

float Cut(float v) { return std::min(std::max(v, 0.0f), 255.0f); }

float MeanOf(int64_t sum, int64_t count) {
  return static_cast<float>(static_cast<double>(sum) / static_cast<double>(count));
}

}  // namespace

Jitter DrawJitter(const JitterRange& range, uint64_t key, int64_t position) {
  const std::array<uint32_t, 4> words = Philox(key, static_cast<uint64_t>(position), kJitterSite);
  return {Factor(range.brightness, words[0]), Factor(range.contrast, words[1]),
          Factor(range.saturation, words[2])};
}

void FinishRgb(const Jitter& jitter, const Normalisation& normalisation, int64_t count, float* pixels,
               float* out) {
  float mean = 0;
  if (jitter.brightness != 1 || jitter.contrast != 1) {
    std::fill_n(pixels + 4 * count, kPixelSlack, 0.0f);
    mean = MeanOf(HWY_DYNAMIC_DISPATCH(Brighten)(jitter.brightness, count, pixels), count);
  }
  HWY_DYNAMIC_DISPATCH(Finish)(jitter, mean, normalisation, count, pixels, out);
}

void FinishGray(const Jitter& jitter, const Normalisation& normalisation, int64_t count, float* pixels,
                float* out) {
  int64_t sum = 0;
  for (int64_t i = 0; i < count; ++i) {
    pixels[i] = Cut(jitter.brightness * pixels[i]);
    sum += static_cast<int32_t>(pixels[i] + 0.5f);
  }
  const float mean = MeanOf(sum, count), scale = normalisation.scale[0], offset = normalisation.offset[0];
  for (int64_t i = 0; i < count; ++i) {
    out[i] = scale * Cut(mean + jitter.contrast * (pixels[i] - mean)) + offset;
  }
}

}  // namespace lockstep::data
#endif  // HWY_ONCE
