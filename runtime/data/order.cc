#include "runtime/data/order.h"

#include <algorithm>

#include "runtime/core/rng.h"

namespace lockstep::data {
namespace {

uint64_t SquareRootUp(uint64_t n) {  // the least r with r * r >= n, for n <= 2^62
  uint64_t low = 1, high = uint64_t{1} << 31;
  while (low < high) {
    const uint64_t middle = (low + high) / 2;
    if (middle * middle >= n)
      high = middle;
    else
      low = middle + 1;
  }
  return low;
}

// A keyed hash of `x`, scaled to [0, range). The bias is below range / 2^64.
inline uint64_t HashBelow(uint64_t x, uint64_t key, uint64_t range) {
  return static_cast<uint64_t>((static_cast<unsigned __int128>(Mix64(x ^ key)) * range) >> 64);
}

}  // namespace

Permutation::Permutation(uint64_t seed, int64_t epoch, int64_t size) : size_(static_cast<uint64_t>(size)) {
  rows_ = SquareRootUp(size_);
  columns_ = (size_ + rows_ - 1) / rows_;
  const uint64_t key = DeriveKey(seed, "data/order");
  for (int i = 0; i < kRounds; i += 2) {
    const auto bits = Philox(key, static_cast<uint64_t>(epoch), static_cast<uint64_t>(i));
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

int64_t Permutation::operator()(int64_t index) const {
  // Fewer than rows_ cells lie outside, so a second turn is rare; it ends because the walk is on a cycle
  // through `index`.
  uint64_t cell = static_cast<uint64_t>(index);
  do {
    cell = Shuffle(cell);
  } while (cell >= size_);
  return static_cast<int64_t>(cell);
}

void Order::SamplesAt(int64_t first, absl::Span<int64_t> out) const {
  size_t done = 0;
  while (done < out.size()) {
    const int64_t position = first + static_cast<int64_t>(done);
    const int64_t epoch = position / samples_, place = position % samples_;
    const size_t count = std::min(out.size() - done, static_cast<size_t>(samples_ - place));
    if (kind_ == OrderKind::kSequential) {
      for (size_t i = 0; i < count; ++i) out[done + i] = place + static_cast<int64_t>(i);
    } else {
      const Permutation permutation(seed_, epoch, samples_);
      for (size_t i = 0; i < count; ++i) out[done + i] = permutation(place + static_cast<int64_t>(i));
    }
    done += count;
  }
}

int64_t Order::SampleAt(int64_t position) const {
  int64_t sample = 0;
  SamplesAt(position, absl::MakeSpan(&sample, 1));
  return sample;
}

}  // namespace lockstep::data
