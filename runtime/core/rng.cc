#include "runtime/core/rng.h"

#include <cmath>
#include <cstddef>

namespace lockstep {

std::array<uint32_t, 4> Philox(uint64_t key, uint64_t counter_low, uint64_t counter_high) {
  constexpr uint64_t kMultiply0 = 0xD2511F53, kMultiply1 = 0xCD9E8D57;
  constexpr uint32_t kWeyl0 = 0x9E3779B9, kWeyl1 = 0xBB67AE85;
  uint32_t k0 = static_cast<uint32_t>(key), k1 = static_cast<uint32_t>(key >> 32);
  uint32_t c0 = static_cast<uint32_t>(counter_low), c1 = static_cast<uint32_t>(counter_low >> 32);
  uint32_t c2 = static_cast<uint32_t>(counter_high), c3 = static_cast<uint32_t>(counter_high >> 32);
  for (int round = 0; round < 10; ++round) {
    const uint64_t p0 = kMultiply0 * c0, p1 = kMultiply1 * c2;
    const uint32_t n0 = static_cast<uint32_t>(p1 >> 32) ^ c1 ^ k0;
    const uint32_t n2 = static_cast<uint32_t>(p0 >> 32) ^ c3 ^ k1;
    c1 = static_cast<uint32_t>(p1);
    c3 = static_cast<uint32_t>(p0);
    c0 = n0;
    c2 = n2;
    k0 += kWeyl0;
    k1 += kWeyl1;
  }
  return {c0, c1, c2, c3};
}

uint64_t Mix64(uint64_t x) {
  x += 0x9E3779B97F4A7C15;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EB;
  return x ^ (x >> 31);
}

uint64_t DeriveKey(uint64_t seed, absl::string_view purpose) {
  uint64_t key = Mix64(seed ^ 0x6C6F636B73746570);  // "lockstep"
  for (unsigned char c : purpose) key = Mix64(key ^ c);
  return Mix64(key ^ purpose.size());
}

void FillUniform(uint64_t key, float low, float high, absl::Span<float> out) {
  for (size_t i = 0; i < out.size(); i += 4) {
    const auto bits = Philox(key, i / 4, 0);
    for (size_t j = 0; j < 4 && i + j < out.size(); ++j)
      out[i + j] = low + (high - low) * UniformFloat(bits[j]);
  }
}

void FillNormal(uint64_t key, float mean, float stddev, absl::Span<float> out) {
  constexpr double kTwoPi = 6.283185307179586;
  for (size_t i = 0; i < out.size(); i += 4) {
    const auto bits = Philox(key, i / 4, 1);
    for (size_t j = 0; j < 4 && i + j < out.size(); j += 2) {
      const double u = (bits[j] + 0.5) * 0x1p-32, v = (bits[j + 1] + 0.5) * 0x1p-32;
      const double radius = std::sqrt(-2.0 * std::log(u));
      out[i + j] = mean + stddev * static_cast<float>(radius * std::cos(kTwoPi * v));
      if (i + j + 1 < out.size())
        out[i + j + 1] = mean + stddev * static_cast<float>(radius * std::sin(kTwoPi * v));
    }
  }
}

}  // namespace lockstep
