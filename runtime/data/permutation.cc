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
  columns_ = Divider((size_ + rows_ - 1) / rows_);
  for (int i = 0; i < kRounds; i += 2) {
    const auto bits = Philox(key, a, b * kRounds + static_cast<uint64_t>(i));
    keys_[i] = bits[0] | static_cast<uint64_t>(bits[1]) << 32;
    keys_[i + 1] = bits[2] | static_cast<uint64_t>(bits[3]) << 32;
  }
}

uint64_t Permutation::Shuffle(uint64_t cell) const {
  const uint64_t columns = columns_.divisor();
  uint64_t column, row = columns_.Divide(cell, &column);
  for (int i = 0; i < kRounds; i += 2) {
    row += HashBelow(column, keys_[i], rows_);
    row -= row >= rows_ ? rows_ : 0;
    column += HashBelow(row, keys_[i + 1], columns);
    column -= column >= columns ? columns : 0;
  }
  return row * columns + column;
}

uint64_t Permutation::Unshuffle(uint64_t cell) const {
  const uint64_t columns = columns_.divisor();
  uint64_t column, row = columns_.Divide(cell, &column);
  for (int i = kRounds - 2; i >= 0; i -= 2) {
    column += columns - HashBelow(row, keys_[i + 1], columns);
    column -= column >= columns ? columns : 0;
    row += rows_ - HashBelow(column, keys_[i], rows_);
    row -= row >= rows_ ? rows_ : 0;
  }
  return row * columns + column;
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

void Permutation::Apply(absl::Span<int64_t> indices) const {
  constexpr size_t kAtOnce = 4;
  const uint64_t rows = rows_, columns = columns_.divisor();
  size_t i = 0;
  for (; i + kAtOnce <= indices.size(); i += kAtOnce) {
    uint64_t row[kAtOnce], column[kAtOnce];
    for (size_t j = 0; j < kAtOnce; ++j)
      row[j] = columns_.Divide(static_cast<uint64_t>(indices[i + j]), &column[j]);
    for (int round = 0; round < kRounds; round += 2) {
      for (size_t j = 0; j < kAtOnce; ++j) {
        row[j] += HashBelow(column[j], keys_[round], rows);
        row[j] -= row[j] >= rows ? rows : 0;
      }
      for (size_t j = 0; j < kAtOnce; ++j) {
        column[j] += HashBelow(row[j], keys_[round + 1], columns);
        column[j] -= column[j] >= columns ? columns : 0;
      }
    }
    for (size_t j = 0; j < kAtOnce; ++j) {
      const auto cell = static_cast<int64_t>(row[j] * columns + column[j]);
      indices[i + j] = cell < size() ? cell : (*this)(cell);
    }
  }
  for (; i < indices.size(); ++i) indices[i] = (*this)(indices[i]);
}

int64_t Permutation::Inverse(int64_t image) const {
  uint64_t cell = static_cast<uint64_t>(image);
  do {
    cell = Unshuffle(cell);
  } while (cell >= size_);
  return static_cast<int64_t>(cell);
}

}  // namespace lockstep::data
