#include "runtime/data/permutation.h"

#include <cmath>

#include "runtime/core/rng.h"

namespace lockstep::data {
namespace {

uint64_t SquareRootUp(uint64_t n) {  // the least r with r * r >= n, for n <= 2^62
  auto root = static_cast<uint64_t>(std::sqrt(static_cast<double>(n)));  // at most a few off
  while (root * root >= n && root > 1) --root;
  while (root * root < n) ++root;
  return root;
}

// A keyed hash of `x`, scaled to [0, range). The bias is below range / 2^64.
inline uint64_t HashBelow(uint64_t x, uint64_t key, uint64_t range) {
  return static_cast<uint64_t>((static_cast<unsigned __int128>(Mix64(x ^ key)) * range) >> 64);
}

}  // namespace

Permutation::Permutation(uint64_t seed, int64_t epoch, int64_t size)
    : Permutation(DeriveKey(seed, "data/order"), static_cast<uint64_t>(epoch), 0, size) {}

Permutation::Permutation(uint64_t key, uint64_t a, uint64_t b, int64_t size)
    : size_(static_cast<uint64_t>(size)) {
  rows_ = SquareRootUp(size_);
  columns_ = (size_ + rows_ - 1) / rows_;
  for (int i = 0; i < kRounds; i += 2) {
    const auto bits = Philox(key, a, b * kRounds + static_cast<uint64_t>(i));
    keys_[i] = bits[0] | static_cast<uint64_t>(bits[1]) << 32;
    keys_[i + 1] = bits[2] | static_cast<uint64_t>(bits[3]) << 32;
  }
}

uint64_t Permutation::Shuffle(uint64_t cell) const {
  uint64_t row = cell / columns_, column = cell % columns_;
  for (int i = 0; i < kRounds; i += 2) {
    row += HashBelow(column, keys_[i], rows_);
    row -= row >= rows_ ? rows_ : 0;
    column += HashBelow(row, keys_[i + 1], columns_);
    column -= column >= columns_ ? columns_ : 0;
  }
  return row * columns_ + column;
}

uint64_t Permutation::Unshuffle(uint64_t cell) const {
  uint64_t row = cell / columns_, column = cell % columns_;
  for (int i = kRounds - 2; i >= 0; i -= 2) {
    column += columns_ - HashBelow(row, keys_[i + 1], columns_);
    column -= column >= columns_ ? columns_ : 0;
    row += rows_ - HashBelow(column, keys_[i], rows_);
    row -= row >= rows_ ? rows_ : 0;
  }
  return row * columns_ + column;
}

int64_t Permutation::operator()(int64_t index) const {
  // Fewer than rows_ cells lie outside, so a second turn is rare; it ends because the walk is on a cycle
  // through `index`.
  uint64_t cell = static_cast<uint64_t>(index);
  do {
    cell = Shuffle(cell);
  } while (cell >= size_);
  return static_cast<int64_t>(cell);
}

int64_t Permutation::Inverse(int64_t image) const {
  uint64_t cell = static_cast<uint64_t>(image);
  do {
    cell = Unshuffle(cell);
  } while (cell >= size_);
  return static_cast<int64_t>(cell);
}

}  // namespace lockstep::data
