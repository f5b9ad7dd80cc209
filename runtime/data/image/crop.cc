#include "runtime/data/image/crop.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "runtime/core/rng.h"

namespace lockstep::data {
namespace {

constexpr int kTries = 10;
constexpr uint64_t kFlipSite = kTries;
constexpr double kLn2 = 0.693147180559945309417;

double Uniform(uint32_t word) { return static_cast<double>(word) * 0x1p-32; }  // [0, 1)

int IntegerBelow(uint32_t word, int64_t bound) {
  return static_cast<int>((static_cast<uint64_t>(word) * static_cast<uint64_t>(bound)) >> 32);
}

Axis BoxAxis(int first, int length, int size) {
  return {static_cast<double>(first), static_cast<double>(length) / size, first, first + length, size};
}

// Half of n, halves to even.
int HalfToEven(int n) { return n / 2 + (n % 2 != 0 ? (n / 2) % 2 : 0); }

}  // namespace

double PortableExp(double x) {
  const double k = std::floor(x / kLn2 + 0.5);
  const double r = x - k * kLn2;  // within ln 2 / 2
  double sum = 1;
  for (int i = 18; i >= 1; --i) sum = 1 + sum * r / i;  // the series, innermost term first
  return std::ldexp(sum, static_cast<int>(k));
}

double PortableLog(double x) {
  int exponent = 0;
  double m = std::frexp(x, &exponent);  // [0.5, 1)
  if (m < 0.70710678118654752440) {
    m *= 2;
    --exponent;
  }
  const double s = (m - 1) / (m + 1), z = s * s;  // ln m = 2 (s + s^3/3 + s^5/5 + ...)
  double sum = 0;
  for (int i = 25; i >= 1; i -= 2) sum = sum * z + 1.0 / i;
  return exponent * kLn2 + 2 * s * sum;
}

Crop RandomCrop(int picture_width, int picture_height, int width, int height, const RandomBox& box,
                uint64_t key, int64_t position) {
  const double area = static_cast<double>(picture_width) * picture_height;
  const double log_low = PortableLog(box.min_aspect), log_high = PortableLog(box.max_aspect);
  for (uint64_t site = 0; site < kTries; ++site) {
    const std::array<uint32_t, 4> words = Philox(key, static_cast<uint64_t>(position), site);
    const double share = box.min_area + Uniform(words[0]) * (box.max_area - box.min_area);
    const double aspect = PortableExp(log_low + Uniform(words[1]) * (log_high - log_low));
    const double w = std::floor(std::sqrt(area * share * aspect) + 0.5);
    const double h = std::floor(std::sqrt(area * share / aspect) + 0.5);
    if (!(w >= 1 && h >= 1 && w <= picture_width && h <= picture_height)) continue;
    const int wide = static_cast<int>(w), high = static_cast<int>(h);
    return {BoxAxis(IntegerBelow(words[2], picture_width - wide + 1), wide, width),
            BoxAxis(IntegerBelow(words[3], picture_height - high + 1), high, height)};
  }
  const double aspect = static_cast<double>(picture_width) / picture_height;
  int w = picture_width, h = picture_height;
  if (aspect < box.min_aspect) h = std::clamp(static_cast<int>(w / box.min_aspect + 0.5), 1, h);
  if (aspect > box.max_aspect) w = std::clamp(static_cast<int>(h * box.max_aspect + 0.5), 1, w);
  return {BoxAxis((picture_width - w) / 2, w, width), BoxAxis((picture_height - h) / 2, h, height)};
}

bool DrawFlip(uint64_t key, int64_t position) {
  return (Philox(key, static_cast<uint64_t>(position), kFlipSite)[0] >> 31) != 0;
}

Crop CentreCrop(int picture_width, int picture_height, int width, int height, int short_side) {
  if (short_side == 0) {
    const double step =
        std::min(static_cast<double>(picture_width) / width, static_cast<double>(picture_height) / height);
    return {{(picture_width - width * step) / 2, step, 0, picture_width, width},
            {(picture_height - height * step) / 2, step, 0, picture_height, height}};
  }
  const auto axis = [&](int picture, int other, int size) {
    const int resized =
        picture <= other ? short_side : static_cast<int>(static_cast<int64_t>(short_side) * picture / other);
    const double step = static_cast<double>(picture) / resized;
    return Axis{HalfToEven(resized - size) * step, step, 0, picture, size};
  };
  return {axis(picture_width, picture_height, width), axis(picture_height, picture_width, height)};
}

Axis Shrunk(const Axis& axis, int shrink, int picture_size) {
  const int whole = (picture_size + shrink - 1) / shrink;
  return {axis.start / shrink, axis.step / shrink, axis.low / shrink,
          std::min(whole, (axis.high + shrink - 1) / shrink), axis.size};
}

}  // namespace lockstep::data
