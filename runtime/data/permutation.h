// A keyed bijection of [0, size) in O(1) memory.
#ifndef LOCKSTEP_RUNTIME_DATA_PERMUTATION_H_
#define LOCKSTEP_RUNTIME_DATA_PERMUTATION_H_

#include <array>
#include <cstdint>

#include "absl/types/span.h"

namespace lockstep::data {

// Division by a number that is known beforehand, by a multiplication: several times as fast as the processor's.
class Divider {
 public:
  explicit Divider(uint64_t divisor) : divisor_(divisor), reciprocal_(~uint64_t{0} / divisor) {}  // >= 1

  uint64_t divisor() const { return divisor_; }
  // x / divisor; `rest` receives x mod divisor.
  uint64_t Divide(uint64_t x, uint64_t* rest) const {
    auto quotient = static_cast<uint64_t>((static_cast<unsigned __int128>(x) * reciprocal_) >> 64);
    *rest = x - quotient * divisor_;
    const bool one_more = *rest >= divisor_;  // the estimate is at most one too small
    *rest -= one_more ? divisor_ : 0;
    return quotient + one_more;
  }

 private:
  uint64_t divisor_, reciprocal_;
};

// Eight rounds of a Feistel network on an a x b grid that just covers [0, size), walking on from cells
// outside it (Black and Rogaway, "Ciphers with arbitrary finite domains", CT-RSA 2002). Its arithmetic is
// our own 64-bit integer arithmetic, the same on every machine and library. A value type.
class Permutation {
 public:
  // `size` in [1, 2^62]. Keys of different (seed, epoch) are independent of each other.
  Permutation(uint64_t seed, int64_t epoch, int64_t size);

  // Of any key; different (key, a, b) are independent of each other.
  static Permutation Keyed(uint64_t key, uint64_t a, uint64_t b, int64_t size) {
    return Permutation(key, a, b, size);
  }

  int64_t size() const { return static_cast<int64_t>(size_); }
  int64_t operator()(int64_t index) const;  // index in [0, size)
  int64_t Inverse(int64_t image) const;     // the index that is sent to `image`
  // Each index becomes its image: several at a time, which hides most of what one has to wait for.
  void Apply(absl::Span<int64_t> indices) const;

 private:
  static constexpr int kRounds = 8;
  Permutation(uint64_t key, uint64_t a, uint64_t b, int64_t size);
  uint64_t Shuffle(uint64_t cell) const;
  uint64_t Unshuffle(uint64_t cell) const;

  uint64_t size_, rows_;
  Divider columns_{1};  // size <= rows * columns
  std::array<uint64_t, kRounds> keys_;
};

}  // namespace lockstep::data

#endif  // LOCKSTEP_RUNTIME_DATA_PERMUTATION_H_
