// Which record stands at which position: the order in which a run consumes its data.
//
// A position p counts samples since the run began and never resets. Of one data set of N samples, p lies in
// epoch e = p / N at place q = p mod N, and the sample there is a keyed permutation's: every epoch is a new
// order, every sample comes exactly once an epoch, and nothing is stored, so that any rank finds any position
// at once. What a checkpoint holds of all this is p: where a run goes on follows from it, at any world size.
#ifndef LOCKSTEP_RUNTIME_DATA_ORDER_H_
#define LOCKSTEP_RUNTIME_DATA_ORDER_H_

#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "absl/types/span.h"
#include "runtime/core/status.h"
#include "runtime/data/block_shuffle.h"
#include "runtime/data/permutation.h"

namespace lockstep::data {

enum class OrderKind : uint8_t {
  kShuffle,       // a new permutation of all samples each epoch
  kSequential,    // as the files have them
  kBlockShuffle,  // block_shuffle.h
};

// What becomes of a step that would reach beyond the end of an epoch.
enum class LastBatch : uint8_t {
  kStraddle,  // it goes on with the next epoch
  kDrop,      // it is left out: the last N mod B samples of each epoch's order are not used in that epoch
  kPad,       // it is filled up with samples of weight 0
};

struct OrderOptions {
  OrderKind kind = OrderKind::kShuffle;
  uint64_t seed = 0;
  BlockShape blocks = {};  // of kBlockShuffle
  // Reading lanes R: equal parts of a step's batch B. Lane r takes its share of every step from a range of
  // the epoch's places that is its own, so that whoever computes it reads 1 / R of the data. The ranges are
  // as long as the lane has positions in the epoch, so every place still comes exactly once.
  int reading_lanes = 1;
  int64_t global_batch = 1;  // B, a multiple of R
  LastBatch last_batch = LastBatch::kStraddle;
};

// One of several data sets that are mixed.
struct OrderPart {
  int64_t samples = 0;  // >= 1
  int64_t weight = 1;   // >= 1; its share of the positions is weight / sum of the weights
};

// Immutable and thread-safe; a value type. Sample ids run through the parts in their order.
//
// A mixture spreads its parts evenly: after p positions of part 0 (weight w of V) there have been exactly
// floor(p w / V); the others divide the rest in the same way. So every V positions hold exactly its weight of
// each part. Each part goes through its own epochs at its own pace.
class Order {
 public:
  // What a call has worked out and the next may use again: the keys of an epoch. For one order and one caller at a
  // time; what comes out never depends on it.
  class Memo {
   private:
    friend class Order;
    struct Part {
      int64_t epoch = -1;
      std::optional<Permutation> permutation;
      std::optional<BlockShuffle> blocks;
      BlockShuffle::Memo window;
    };
    absl::InlinedVector<Part, 1> parts_;
  };

  // `samples` >= 1 an epoch.
  Order(OrderKind kind, uint64_t seed, int64_t samples);

  // Error: ConfigError for what does not go together: reading lanes that do not divide the batch, and a
  // mixture with reading lanes or whose last batches do not straddle.
  static absl::StatusOr<Order> Create(const OrderOptions& options, std::vector<OrderPart> parts);

  int64_t samples() const;  // of all parts
  // Positions of an epoch: samples(), or those of its whole steps.
  int64_t positions() const { return positions_; }

  // The ids [first, first + second) that lie in one block with `sample`: a block of the block shuffle, of the
  // other orders one of 1024 consecutive samples. No block holds samples of two parts.
  std::pair<int64_t, int64_t> BlockOf(int64_t sample) const;

  // The samples at positions first, first + 1, ... (first >= 0); -1 where a batch is only filled up.
  void SamplesAt(int64_t first, absl::Span<int64_t> out, Memo* memo) const;
  void SamplesAt(int64_t first, absl::Span<int64_t> out) const;
  int64_t SampleAt(int64_t position) const;

 private:
  struct Part {
    int64_t samples, weight, rest;  // rest: the weights of this one and those behind it
    int64_t first_id;
    uint64_t key;
    Divider epoch;  // positions of one of its epochs
  };
  Order(const OrderOptions& options, std::vector<OrderPart> parts);
  // Of the place-th and next places of an epoch of `part`.
  void EpochAt(const Part& part, int64_t epoch, int64_t place, absl::Span<int64_t> out,
               Memo::Part* memo) const;
  void StreamAt(const Part& part, int64_t first, absl::Span<int64_t> out, Memo::Part* memo) const;
  int64_t PlacesAt(int64_t position, int64_t most, int64_t* place) const;
  void MixAt(int64_t first, absl::Span<int64_t> out, Memo* memo) const;

  OrderOptions options_;
  std::vector<Part> parts_;
  int64_t positions_ = 0;
};

}  // namespace lockstep::data

#endif  // LOCKSTEP_RUNTIME_DATA_ORDER_H_
