#include "runtime/data/image/image_mix.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>

#include "runtime/core/rng.h"
#include "runtime/core/thread.h"
#include "runtime/data/image/crop.h"

namespace lockstep::data {
namespace {

constexpr uint64_t kDrawSite = 0, kBoxSite = 1, kDistanceSite = 2, kBetaSite = 8;
constexpr int kTries = 1000;  // each succeeds with a probability of 1/2 at least

double Uniform(uint32_t word) { return (word + 0.5) * 0x1p-32; }  // (0, 1)

int64_t IntegerBelow(uint32_t word, int64_t bound) {
  return static_cast<int64_t>((uint64_t{word} * static_cast<uint64_t>(bound)) >> 32);
}

// Both powers may be too small for a double, so their logarithms are compared.
bool Joehnk(double alpha, double u, double v, double* share) {
  const double log_x = PortableLog(u) / alpha, log_y = PortableLog(v) / alpha;
  if (PortableExp(log_x) + PortableExp(log_y) > 1) return false;
  const double most = std::max(log_x, log_y);
  const double x = PortableExp(log_x - most), y = PortableExp(log_y - most);
  *share = x / (x + y);
  return true;
}

bool ChengBb(double alpha, double u, double v, double* share) {
  const double spread = 1 / std::sqrt(alpha);
  const double logit = spread * PortableLog(u / (1 - u));
  const double w = alpha * PortableExp(logit);
  const double r = (alpha + std::sqrt(alpha)) * logit - 1.3862943611198906;  // ln 4
  *share = w / (alpha + w);
  return r + 2 * alpha * PortableLog(2 * alpha / (alpha + w)) >= PortableLog(u * u * v);
}

}  // namespace

double DrawBeta(double alpha, uint64_t key, int64_t position) {
  double share = 0.5;
  for (uint64_t site = kBetaSite; site < kBetaSite + kTries / 2; ++site) {
    const std::array<uint32_t, 4> words = Philox(key, static_cast<uint64_t>(position), site);
    for (const int pair : {0, 2}) {
      const double u = Uniform(words[pair]), v = Uniform(words[pair + 1]);
      if (alpha <= 1 ? Joehnk(alpha, u, v, &share) : ChengBb(alpha, u, v, &share)) return share;
    }
  }
  return share;
}

ImageMixer::ImageMixer(const ImageMixOptions& options)
    : options_(options), key_(DeriveKey(options.seed, "data/mix")) {}

MixDraw ImageMixer::Draw(int64_t position) const {
  MixDraw draw;
  const double u = Uniform(Philox(key_, static_cast<uint64_t>(position), kDrawSite)[0]);
  if (u < options_.mixup.probability) {
    draw.kind = MixDraw::Kind::kMixup;
    draw.share = DrawBeta(options_.mixup.alpha, key_, position);
    return draw;
  }
  if (u >= options_.mixup.probability + options_.cutmix.probability) return draw;
  // A box of the picture's shape around any pixel, cut off at the borders; what counts is what is left of it.
  draw.kind = MixDraw::Kind::kCutmix;
  const double side = std::sqrt(1 - DrawBeta(options_.cutmix.alpha, key_, position));
  const int height = static_cast<int>(options_.height * side),
            width = static_cast<int>(options_.width * side);
  const std::array<uint32_t, 4> words = Philox(key_, static_cast<uint64_t>(position), kBoxSite);
  const int y = static_cast<int>(IntegerBelow(words[0], options_.height));
  const int x = static_cast<int>(IntegerBelow(words[1], options_.width));
  draw.top = std::max(0, y - height / 2);
  draw.bottom = std::min(options_.height, y - height / 2 + height);
  draw.left = std::max(0, x - width / 2);
  draw.right = std::min(options_.width, x - width / 2 + width);
  const double area = static_cast<double>(draw.bottom - draw.top) * (draw.right - draw.left);
  draw.share = 1 - area / (static_cast<double>(options_.height) * options_.width);
  return draw;
}

int64_t ImageMixer::Distance(int64_t first_position, int64_t micro_batch) const {
  if (micro_batch < 2) return 0;
  const uint32_t word = Philox(key_, static_cast<uint64_t>(first_position), kDistanceSite)[0];
  return 1 + IntegerBelow(word, micro_batch - 1);
}

void ImageMixer::Mix(const MixDraw& draw, const float* other, float* image) const {
  if (draw.kind == MixDraw::Kind::kMixup) {
    const auto own_share = static_cast<float>(draw.share), share = 1 - own_share;
    const size_t values = static_cast<size_t>(options_.height) * options_.width * options_.channels;
    for (size_t i = 0; i < values; ++i) image[i] = own_share * image[i] + share * other[i];
    return;
  }
  for (int y = draw.top; y < draw.bottom; ++y) {
    const size_t row = static_cast<size_t>(y) * options_.width * options_.channels;
    std::copy(other + row + static_cast<size_t>(draw.left) * options_.channels,
              other + row + static_cast<size_t>(draw.right) * options_.channels,
              image + row + static_cast<size_t>(draw.left) * options_.channels);
  }
}

void ImageMixer::Apply(absl::Span<const int64_t> positions, absl::Span<const float> weights, float* images,
                       const int64_t* labels, int64_t* others, float* shares) const {
  const auto count = static_cast<int64_t>(positions.size());
  std::copy(labels, labels + count, others);
  std::fill(shares, shares + count, 1.0f);
  const int64_t distance = count > 0 ? Distance(positions[0], count) : 0;
  if (distance == 0) return;
  const LaneArithmetic modes;
  const size_t values = static_cast<size_t>(options_.height) * options_.width * options_.channels;
  // Pictures are mixed with what others were before, so each round of i, i + d, ... keeps its first.
  std::vector<float> first(values);
  for (int64_t begin = 0; begin < std::gcd(count, distance); ++begin) {
    std::copy_n(images + begin * values, values, first.data());
    int64_t i = begin;
    do {
      const int64_t other = (i + distance) % count;
      const MixDraw draw = Draw(positions[i]);
      if (draw.kind != MixDraw::Kind::kNone && weights[i] != 0 && weights[other] != 0) {
        Mix(draw, other == begin ? first.data() : images + other * values, images + i * values);
        others[i] = labels[other];
        shares[i] = static_cast<float>(draw.share);
      }
      i = other;
    } while (i != begin);
  }
}

}  // namespace lockstep::data
