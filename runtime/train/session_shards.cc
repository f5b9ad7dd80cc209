// Where the state of a sharded optimizer lies, from generation to generation (state_shards.h).

#include <algorithm>
#include <utility>
#include <vector>

#include "runtime/train/session.h"

namespace lockstep::train {

bool Session::Recovers() const {
  const auto recovery = config_.execution().recovery();
  return recovery == ExecutionConfig::ON || (recovery == ExecutionConfig::AUTO && options_.world->elastic);
}

bool Session::Shards() const { return config_.execution().optimizer_state() == SHARDED; }

// A mirror is of use to survivors alone.
bool Session::Mirrors() const {
  return Shards() && config_.execution().mirror_optimizer() && Recovers() && WhyNotRecoverable().empty();
}

void Session::DealShards() {
  shards_.reset();
  if (communicator_ == nullptr) {  // a newcomer's will come with the rest
    state_->HoldShard(HeldRanges());
    optimizer_.reset();
    return;
  }
  const int64_t bucket_bytes = int64_t{1024} * config_.execution().comm().bucket_kib();
  shards_ = std::make_unique<StateShards>(state_->layout(), GradientBuckets(*train_program_, bucket_bytes),
                                          communicator_->rank(), communicator_->size(), Mirrors());
  state_->HoldShard(shards_->OfThisRank().held);
  MakeOptimizer();
}

void Session::MakeOptimizer() {
  const EmaConfig* const ema = config_.has_ema() ? &config_.ema() : nullptr;
  if (shards_ == nullptr) {
    optimizer_ = std::make_unique<Optimizer>(config_.optimizer(), ema, state_->layout());
    return;
  }
  const OptimizerShard shard = shards_->OfThisRank();
  optimizer_ = std::make_unique<Optimizer>(config_.optimizer(), ema, state_->layout(), &shard);
}

// A collective: every rank gets its shard, and mirrored another, of what rank 0 has loaded.
absl::Status Session::LoadMoments(const LoadedCheckpoint* checkpoint) {
  const int ranks = communicator_->size();
  std::vector<ElementRanges> holds(ranks), needs;
  holds[0] = shards_->Windows();
  for (int rank = 0; rank < ranks; ++rank) needs.push_back(shards_->HeldBy(rank));
  for (int moment = 0; moment < state_->moments(); ++moment) {
    ReadRange read;
    if (checkpoint != nullptr) read = state_->MomentReader(*checkpoint, moment);
    const WriteRange write = [&](ElementRange range, const float* from) {
      std::copy_n(from, range.size(), state_->moment(moment).data() + state_->held().PlaceOf(range.begin));
    };
    RETURN_IF_ERROR(MoveRanges(*communicator_, holds, needs, shards_->Windows(), read, write));
  }
  return absl::OkStatus();
}

}  // namespace lockstep::train
