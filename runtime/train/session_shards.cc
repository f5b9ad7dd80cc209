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

ShardSetting Session::SettingOfShards() const {
  const int64_t bucket_bytes = int64_t{1024} * config_.execution().comm().bucket_kib();
  return {GradientBuckets(*train_program_, bucket_bytes), Mirrors(), config_.lanes() * config_.accumulate()};
}

void Session::DealShards() {
  holdings_ = ShardHoldings();
  holdings_.state = state_.get();
  if (communicator_ == nullptr) {  // a newcomer's will come with the rest
    state_->HoldShard(HeldRanges());
    optimizer_.reset();
    return;
  }
  const ShardSetting setting = SettingOfShards();
  holdings_.shards = std::make_unique<StateShards>(state_->layout(), setting.buckets, communicator_->rank(),
                                                   communicator_->size(), setting.mirrored);
  state_->HoldShard(holdings_.shards->OfThisRank().held);
  MakeOptimizer();
}

void Session::MakeOptimizer() {
  const EmaConfig* const ema = config_.has_ema() ? &config_.ema() : nullptr;
  if (holdings_.shards == nullptr) {
    optimizer_ = std::make_unique<Optimizer>(config_.optimizer(), ema, state_->layout());
    return;
  }
  const OptimizerShard shard = holdings_.shards->OfThisRank();
  optimizer_ = std::make_unique<Optimizer>(config_.optimizer(), ema, state_->layout(), &shard);
}

absl::StatusOr<TakeoverReport> Session::TakeShardsOver() {
  LaneTeam team(ChooseThreads());
  ASSIGN_OR_RETURN(const TakeoverReport report,
                   TakeOverShards(*communicator_, SettingOfShards(), optimizer_.get(), team, &holdings_,
                                  &point_, options_.faults));
  if (report.diverged || report.lost) {
    DealShards();  // what they are to hold, the checkpoint says
  } else {
    MakeOptimizer();
  }
  return report;
}

absl::Status Session::HandShardsOver(int ranks) {
  if (holdings_.shards == nullptr) return absl::OkStatus();
  return lockstep::train::HandShardsOver(*communicator_, SettingOfShards(), ranks, point_.counters.step,
                                         &holdings_);
}

// A collective: every rank gets its shard, and mirrored another, of what rank 0 has loaded.
absl::Status Session::LoadMoments(const LoadedCheckpoint* checkpoint) {
  const int ranks = communicator_->size();
  std::vector<ElementRanges> holds(ranks), needs;
  holds[0] = holdings_.shards->Windows();
  for (int rank = 0; rank < ranks; ++rank) needs.push_back(holdings_.shards->HeldBy(rank));
  for (int moment = 0; moment < state_->moments(); ++moment) {
    ReadRange read;
    if (checkpoint != nullptr) read = state_->MomentReader(*checkpoint, moment);
    const WriteRange write = [&](ElementRange range, const float* from) {
      std::copy_n(from, range.size(), state_->moment(moment).data() + state_->held().PlaceOf(range.begin));
    };
    RETURN_IF_ERROR(MoveRanges(*communicator_, holds, needs, holdings_.shards->Windows(), read, write));
  }
  return absl::OkStatus();
}

}  // namespace lockstep::train
