#include "runtime/data/block_shuffle.h"

#include <algorithm>
#include <limits>
#include <numeric>

#include "runtime/core/rng.h"

namespace lockstep::data {
namespace {

// The same order from sizes that cannot overflow.
BlockShape Clamped(const BlockShape& shape, int64_t samples) {
  BlockShape clamped;
  clamped.block = std::min(shape.block, samples);
  clamped.window = std::min(shape.window, (samples + clamped.block - 1) / clamped.block);
  return clamped;
}

}  // namespace

BlockShuffle::BlockShuffle(uint64_t key, int64_t epoch, int64_t samples, const BlockShape& shape)
    : window_key_(Mix64(key ^ 1)),
      epoch_(static_cast<uint64_t>(epoch)),
      samples_(samples),
      shape_(Clamped(shape, samples)),
      block_(static_cast<uint64_t>(shape_.block)),
      blocks_(Permutation::Keyed(Mix64(key), epoch_, 0, BlocksIn(samples))),
      missing_(BlocksIn(samples) * shape_.block - samples) {
  if (missing_ == 0) return;
  const int64_t slot = blocks_.Inverse(blocks_.size() - 1);
  short_window_ = slot / shape_.window;
  behind_short_ = (slot % shape_.window + 1) * shape_.block - missing_;
}

BlockShuffle::Window BlockShuffle::WindowOf(int64_t place) const {
  const int64_t whole = shape_.window * shape_.block;
  // Behind the window of the short block places have moved up by what it lacks.
  const bool behind = short_window_ >= 0 && place >= (short_window_ + 1) * whole - missing_;
  const int64_t moved = behind ? missing_ : 0;
  const int64_t number = (place + moved) / whole;
  Window window;
  window.first_place = number * whole - moved;
  const int64_t lacks = number == short_window_ ? missing_ : 0;
  window.places = std::min(whole - lacks, samples_ - window.first_place);
  window.first_slot = number * shape_.window;
  window.short_from = lacks > 0 ? behind_short_ : std::numeric_limits<int64_t>::max();
  return window;
}

// From numbers of the window's samples in the order of its slots to sample ids.
void BlockShuffle::Resolve(Memo* memo, absl::Span<int64_t> samples) const {
  constexpr size_t kMost = 64;
  constexpr int64_t kMostSlots = 4096;
  const Window& window = memo->window;
  const int64_t slots = std::min(shape_.window, blocks_.size() - window.first_slot);
  memo->asked += static_cast<int64_t>(samples.size());
  if (memo->blocks.empty() && slots <= kMostSlots && memo->asked > 4 * slots) {
    memo->blocks.resize(static_cast<size_t>(slots));
    std::iota(memo->blocks.begin(), memo->blocks.end(), window.first_slot);
    blocks_.Apply(absl::MakeSpan(memo->blocks));
  }
  int64_t blocks[kMost];
  uint64_t within[kMost];
  for (size_t begin = 0; begin < samples.size(); begin += kMost) {
    const absl::Span<int64_t> some = samples.subspan(begin, kMost);
    for (size_t i = 0; i < some.size(); ++i) {
      const int64_t moved = some[i] >= window.short_from ? missing_ : 0;
      const uint64_t slot = block_.Divide(static_cast<uint64_t>(some[i] + moved), &within[i]);
      blocks[i] = memo->blocks.empty() ? window.first_slot + static_cast<int64_t>(slot) : memo->blocks[slot];
    }
    if (memo->blocks.empty()) blocks_.Apply(absl::MakeSpan(blocks, some.size()));
    for (size_t i = 0; i < some.size(); ++i)
      some[i] = blocks[i] * shape_.block + static_cast<int64_t>(within[i]);
  }
}

void BlockShuffle::SamplesAt(int64_t first, absl::Span<int64_t> out, Memo* memo) const {
  while (!out.empty()) {
    int64_t from = first - memo->window.first_place;
    if (!memo->inside || from < 0 || from >= memo->window.places) {
      memo->window = WindowOf(first);
      memo->asked = 0;
      memo->blocks.clear();
      memo->inside = Permutation::Keyed(window_key_, epoch_, static_cast<uint64_t>(memo->window.first_slot),
                                        memo->window.places);
      from = first - memo->window.first_place;
    }
    const auto here =
        static_cast<size_t>(std::min(static_cast<int64_t>(out.size()), memo->window.places - from));
    const absl::Span<int64_t> some = out.subspan(0, here);
    std::iota(some.begin(), some.end(), from);
    memo->inside->Apply(some);
    Resolve(memo, some);
    first += static_cast<int64_t>(here);
    out.remove_prefix(here);
  }
}

}  // namespace lockstep::data
