// Which record stands at which position: the order in which a run consumes its data.
//
// A position p counts samples since the run began and never resets. With N samples, p lies in epoch e = p / N
// at place q = p mod N, and the sample there is Permutation(key(seed, e), N)(q): every epoch is a new order,
// every sample comes exactly once an epoch, and nothing is stored, so that any rank finds any position at
// once.
#ifndef LOCKSTEP_RUNTIME_DATA_ORDER_H_
#define LOCKSTEP_RUNTIME_DATA_ORDER_H_

#include <array>
#include <cstdint>

#include "absl/types/span.h"

namespace lockstep::data {

// A keyed bijection of [0, size) in O(1) memory: eight rounds of a Feistel network on an a x b grid that just
// covers [0, size), walking on from cells outside it (Black and Rogaway, "Ciphers with arbitrary finite
// domains", CT-RSA 2002). Its arithmetic is our own 64-bit integer arithmetic, the same on every machine and
// library. A value type.
class Permutation {
 public:
  // `size` in [1, 2^62]. Keys of different (seed, epoch) are independent of each other.
  Permutation(uint64_t seed, int64_t epoch, int64_t size);

  int64_t size() const { return static_cast<int64_t>(size_); }
  int64_t operator()(int64_t index) const;  // index in [0, size)

 private:
  static constexpr int kRounds = 8;
  uint64_t Shuffle(uint64_t cell) const;

  uint64_t size_, rows_, columns_;  // size <= rows * columns
  std::array<uint64_t, kRounds> keys_;
};

enum class OrderKind : uint8_t {
  kShuffle,     // a new permutation of all samples each epoch
  kSequential,  // as the files have them
};

// Immutable and thread-safe.
class Order {
 public:
  // `samples` >= 1 an epoch.
  Order(OrderKind kind, uint64_t seed, int64_t samples) : kind_(kind), seed_(seed), samples_(samples) {}

  int64_t samples() const { return samples_; }

  // The samples at positions first, first + 1, ... (first >= 0). Keys are computed once for each epoch that
  // they touch.
  void SamplesAt(int64_t first, absl::Span<int64_t> out) const;
  int64_t SampleAt(int64_t position) const;

 private:
  OrderKind kind_;
  uint64_t seed_;
  int64_t samples_;
};

}  // namespace lockstep::data

#endif  // LOCKSTEP_RUNTIME_DATA_ORDER_H_
