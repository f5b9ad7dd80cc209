#include "runtime/data/image/resample.h"

#include <algorithm>
#include <cstddef>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "runtime/data/image/resample.cc"
#include "hwy/foreach_target.h"  // compiles this file once for each instruction set
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace lockstep::data::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

// out[j] = sum over k of weights[k] * rows[k * pitch + j] for j < count. Products and sums are rounded one by
// one (the build forbids the compiler to fuse them).
HWY_INLINE float OneColumn(const uint8_t* at, size_t pitch, const float* weights, int taps) {
  float sum = weights[0] * static_cast<float>(at[0]);
  for (int k = 1; k < taps; ++k) sum = sum + weights[k] * static_cast<float>(at[k * pitch]);
  return sum;
}

void BlendRows(const uint8_t* rows, size_t pitch, const float* weights, int taps, size_t count, float* out) {
  const hn::ScalableTag<float> d;
  const hn::Rebind<int32_t, decltype(d)> i32;
  const hn::Rebind<uint8_t, decltype(d)> u8;
  const size_t lanes = hn::Lanes(d);
  size_t j = 0;
  for (; j + lanes <= count; j += lanes) {
    const uint8_t* at = rows + j;
    const auto load = [&](const uint8_t* p) {
      return hn::ConvertTo(d, hn::PromoteTo(i32, hn::LoadU(u8, p)));
    };
    auto sum = hn::Mul(hn::Set(d, weights[0]), load(at));
    for (int k = 1; k < taps; ++k) {
      at += pitch;
      sum = hn::Add(sum, hn::Mul(hn::Set(d, weights[k]), load(at)));
    }
    hn::StoreU(sum, d, out + j);
  }
  for (; j < count; ++j) out[j] = OneColumn(rows + j, pitch, weights, taps);
}

// One row of pixels of four channels. Every output takes `kTaps` weights (`most` where kTaps is 0): those
// beyond its own are 0 and add nothing, and a loop of one length is what a processor foresees.
template <int kTaps>
void BlendPixels(const float* row, const int* first, const float* weights, int most, int size, float* out) {
  const hn::CappedTag<float, 4> d;  // a pixel, or a channel where there are no vectors
  const int taps = kTaps == 0 ? most : kTaps;
  for (int i = 0; i < size; ++i, weights += taps, out += 4) {
    const float* pixel = row + static_cast<size_t>(first[i]) * 4;
    for (size_t c = 0; c < 4; c += hn::Lanes(d)) {
      auto sum = hn::Mul(hn::Set(d, weights[0]), hn::LoadU(d, pixel + c));
      for (int k = 1; k < taps; ++k) {
        sum = hn::Add(sum, hn::Mul(hn::Set(d, weights[k]), hn::LoadU(d, pixel + c + 4 * k)));
      }
      hn::StoreU(sum, d, out + c);
    }
  }
}

void BlendColumns4(const float* row, const int* first, const float* weights, int most, int size, float* out) {
  switch (most) {
    case 2:
      return BlendPixels<2>(row, first, weights, most, size, out);
    case 3:
      return BlendPixels<3>(row, first, weights, most, size, out);
    case 4:
      return BlendPixels<4>(row, first, weights, most, size, out);
    case 5:
      return BlendPixels<5>(row, first, weights, most, size, out);
    default:
      return BlendPixels<0>(row, first, weights, most, size, out);
  }
}

}  // namespace lockstep::data::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lockstep::data {

HWY_EXPORT(BlendRows);
HWY_EXPORT(BlendColumns4);

namespace {

void BlendColumns1(const float* row, const Taps& x, float* out) {
  const float* weights = x.weights.data();
  for (size_t i = 0; i < x.first.size(); ++i, weights += x.most) {
    const float* at = row + x.first[i];
    float sum = weights[0] * at[0];
    for (int k = 1; k < x.count[i]; ++k) sum = sum + weights[k] * at[k];
    out[i] = sum;
  }
}

}  // namespace

void Resample(const Pixels& in, const Taps& y, const Taps& x, std::vector<float>* row, float* out) {
  const size_t channels = static_cast<size_t>(in.channels());
  const size_t width = x.first.size();
  // Only the columns that some tap reads are blended; `shifted` counts from the first of them.
  const int begin = std::min(x.first.front(), x.first.back());
  const int end = std::max(x.first.front() + x.count.front(), x.first.back() + x.count.back());
  const size_t floats = static_cast<size_t>(end - begin) * channels;
  // Behind them, what weights of 0 are multiplied with: any finite numbers.
  const size_t behind = static_cast<size_t>(x.most) * channels;
  if (row->size() < floats + behind) row->resize(floats + behind);
  const float* shifted = row->data() - static_cast<ptrdiff_t>(begin) * static_cast<ptrdiff_t>(channels);
  for (size_t i = 0; i < y.first.size(); ++i, out += width * channels) {
    const uint8_t* rows =
        in.row(y.first[i] - in.window().y) + static_cast<size_t>(begin - in.window().x) * channels;
    HWY_DYNAMIC_DISPATCH(BlendRows)
    (rows, in.row_bytes(), y.weights.data() + i * static_cast<size_t>(y.most), y.count[i], floats,
     row->data());
    if (channels == 1) {
      BlendColumns1(shifted, x, out);
    } else {
      HWY_DYNAMIC_DISPATCH(BlendColumns4)
      (shifted, x.first.data(), x.weights.data(), x.most, static_cast<int>(width), out);
    }
  }
}

}  // namespace lockstep::data
#endif  // HWY_ONCE
