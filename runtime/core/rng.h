// Random numbers without state: Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3",
// SC11).
//
// Everything random in a run (initial weights, dropout, augmentation) is a pure function of a key and a
// counter, so it never depends on which rank or thread asks, or in which order. Keys come from
// DeriveKey(seed, purpose), so that two purposes never share a stream.
#ifndef LOCKSTEP_RUNTIME_CORE_RNG_H_
#define LOCKSTEP_RUNTIME_CORE_RNG_H_

#include <array>
#include <cstdint>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace lockstep {

// Ten rounds of Philox over a 128-bit counter under a 64-bit key.
std::array<uint32_t, 4> Philox(uint64_t key, uint64_t counter_low, uint64_t counter_high);

// A well-mixed bijection of 64-bit words (the finaliser of splitmix64).
uint64_t Mix64(uint64_t x);

// The key of a stream: a hash of the run's seed and the name of what it is for, e.g. "init/block.0.weight".
uint64_t DeriveKey(uint64_t seed, absl::string_view purpose);

// [0, 1) with 24 random bits.
inline float UniformFloat(uint32_t bits) { return static_cast<float>(bits >> 8) * 0x1p-24f; }

// Element i is a function of (key, i) alone, so any part can be made anywhere.
void FillUniform(uint64_t key, float low, float high, absl::Span<float> out);
void FillNormal(uint64_t key, float mean, float stddev, absl::Span<float> out);  // Box-Muller, in double

}  // namespace lockstep

#endif  // LOCKSTEP_RUNTIME_CORE_RNG_H_
