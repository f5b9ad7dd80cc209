// An order that slow storage likes: whole blocks of records are read one after another.
#ifndef LOCKSTEP_RUNTIME_DATA_BLOCK_SHUFFLE_H_
#define LOCKSTEP_RUNTIME_DATA_BLOCK_SHUFFLE_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "absl/types/span.h"
#include "runtime/data/permutation.h"

namespace lockstep::data {

struct BlockShape {
  int64_t block = 1;   // consecutive records that are read together; >= 1
  int64_t window = 1;  // blocks that are mixed with each other; >= 1
};

// One epoch. The N samples lie in blocks of `block` consecutive ones, the last one shorter; the blocks are
// permuted, every `window` of them make a window, and the samples of a window are permuted:
//
//   slot s of the epoch holds block   Permutation(blocks)(s)
//   place q lies in window w, and is the Permutation(window w)(q - first place of w)-th sample of its slots
//
// A window that holds all blocks gives every order of the samples the same chance. Both permutations are new
// each epoch, and nothing is stored: the short block's slot is looked up, and places behind it move up.
class BlockShuffle {
 public:
  // `samples` in [1, 2^61].
  BlockShuffle(uint64_t key, int64_t epoch, int64_t samples, const BlockShape& shape);

  struct Window {
    int64_t first_place = 0, places = 0, first_slot = 0;
    int64_t short_from = 0;  // among its samples, those from here on lie behind the short block
  };
  // The window that was read last, for one caller at a time, who mostly goes on in it.
  struct Memo {
    Window window;
    std::optional<Permutation> inside;
    int64_t asked = 0;            // positions in it
    std::vector<int64_t> blocks;  // of its slots, once that pays
  };

  // The samples at places first, first + 1, ..., all of them in [0, samples).
  void SamplesAt(int64_t first, absl::Span<int64_t> out, Memo* memo) const;

 private:
  int64_t BlocksIn(int64_t samples) const { return (samples + shape_.block - 1) / shape_.block; }
  Window WindowOf(int64_t place) const;
  void Resolve(Memo* memo, absl::Span<int64_t> samples) const;

  uint64_t window_key_, epoch_;
  int64_t samples_;
  BlockShape shape_;           // no larger than the samples want
  Divider block_;              // shape_.block
  Permutation blocks_;         // slot -> block
  int64_t missing_;            // samples that the last block lacks of a whole one
  int64_t short_window_ = -1;  // the window of the short block; -1: there is none
  int64_t behind_short_ = 0;   // samples of its window up to its end
};

}  // namespace lockstep::data

#endif  // LOCKSTEP_RUNTIME_DATA_BLOCK_SHUFFLE_H_
