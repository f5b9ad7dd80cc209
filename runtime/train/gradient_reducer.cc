#include "runtime/train/gradient_reducer.h"

#include <algorithm>
#include <utility>

#include "kernels/optimizer.h"
#include "runtime/core/clock.h"

namespace lockstep::train {

int PlannedSlots(comm::LaneRange owned, int lanes, int threads) {
  size_t most = 0;
  for (int end = owned.begin; end < owned.end; ++end) {
    most = std::max(most, comm::MaximalSubtrees({owned.begin, end}, lanes).size());
  }
  // All parts are held at the end, when no lane is in progress any more.
  const size_t parts = comm::MaximalSubtrees(owned, lanes).size();
  const int needed = static_cast<int>(std::max(most + 1, parts));
  return std::min(owned.size(), needed + threads - 1);
}

struct GradientReducer::BucketState {
  explicit BucketState(comm::LaneRange owned, int lanes) : merger(owned, lanes) {}
  std::mutex mutex;         // held while siblings are added: a later merge may build on an earlier one
  comm::LaneMerger merger;  // REPRODUCIBLE
  int lanes_left = 0;       // UNORDERED
  bool ready = false;       // all of this rank's lanes are in; guarded by issue_mutex_
};

absl::StatusOr<std::unique_ptr<GradientReducer>> GradientReducer::Create(
    comm::Communicator* communicator, std::vector<Bucket> buckets, const GradientReducerOptions& options) {
  auto reducer =
      std::unique_ptr<GradientReducer>(new GradientReducer(communicator, std::move(buckets), options));
  const int slots = options.reproducible ? PlannedSlots(reducer->owned_, options.lanes, options.threads)
                                         : std::min(options.threads, reducer->owned_.size());
  const size_t slot_bytes = reducer->buckets_.empty() ? 0 : reducer->buckets_.back().end * sizeof(float);
  for (int i = 0; i < slots; ++i) {
    SlotState slot;
    ASSIGN_OR_RETURN(slot.memory, communicator->AllocatePeerBuffer(slot_bytes));
    reducer->slots_.push_back(std::move(slot));
  }
  return reducer;
}

GradientReducer::GradientReducer(comm::Communicator* communicator, std::vector<Bucket> buckets,
                                 const GradientReducerOptions& options)
    : communicator_(communicator),
      options_(options),
      buckets_(std::move(buckets)),
      owned_(comm::LanesOfRank(communicator->rank(), communicator->size(), options.lanes)),
      parts_(comm::MaximalSubtrees(owned_, options.lanes)),
      rounded_sum_(2, comm::BalancedSteps(2), comm::ReduceOp::kSum, DType::kF32, /*divisor=*/1, options.wire),
      slot_of_lane_(owned_.size(), -1) {
  for (size_t i = 0; i < buckets_.size(); ++i) {
    states_.push_back(std::make_unique<BucketState>(owned_, options.lanes));
  }
}

GradientReducer::~GradientReducer() = default;

void GradientReducer::BeginStep() {
  works_.clear();
  next_bucket_ = 0;
  next_lane_ = owned_.begin;
  wait_seconds_ = 0;
  cancelled_ = false;
  for (auto& state : states_) {
    state->merger.Reset();
    state->lanes_left = owned_.size();
    state->ready = false;
  }
  for (SlotState& slot : slots_) slot.free = true;
  std::fill(slot_of_lane_.begin(), slot_of_lane_.end(), -1);
}

GradientReducer::Slot GradientReducer::Acquire(int lane, int thread) {
  std::unique_lock lock(slots_mutex_);
  if (!options_.reproducible) {
    SlotState& slot = slots_[thread];
    return {slot.data(), !std::exchange(slot.free, false)};
  }
  const auto free = [this] {
    return std::find_if(slots_.begin(), slots_.end(), [](auto& s) { return s.free; });
  };
  // In lane order, or lanes that came later could take all buffers and wait for their left siblings, which
  // then wait for a buffer.
  slot_freed_.wait(lock, [&] { return cancelled_ || (lane == next_lane_ && free() != slots_.end()); });
  if (cancelled_) return {};
  ++next_lane_;
  slot_freed_.notify_all();
  const auto slot = free();
  slot->free = false;
  slot->buckets_left = static_cast<int>(buckets_.size());
  slot_of_lane_[lane - owned_.begin] = static_cast<int>(slot - slots_.begin());
  return {slot->data(), false};
}

void GradientReducer::Cancel() {
  std::lock_guard lock(slots_mutex_);
  cancelled_ = true;
  slot_freed_.notify_all();
}

void GradientReducer::BucketDone(int lane, int thread, int bucket) {
  (void)thread;
  BucketState& state = *states_[bucket];
  bool complete = false;
  {
    std::lock_guard lock(state.mutex);
    if (options_.reproducible) {
      MergeLanes(lane, bucket);
      complete = state.merger.complete();
    } else if (--state.lanes_left == 0) {
      MergeThreads(bucket);
      complete = true;
    }
  }
  if (complete) MarkReady(bucket);
}

void GradientReducer::MergeLanes(int lane, int bucket) {
  const Bucket& range = buckets_[bucket];
  const auto at = [&](int first_lane) {
    std::lock_guard lock(slots_mutex_);
    return slots_[slot_of_lane_[first_lane - owned_.begin]].data() + range.begin;
  };
  for (const comm::LaneMerge& merge : states_[bucket]->merger.Done(lane)) {
    float* const left = at(merge.left.begin);
    const float* const right = at(merge.right.begin);
    if (WireOf(bucket) == comm::Wire::kFull) {
      kernels::AddInto(absl::MakeConstSpan(right, range.size()), absl::MakeSpan(left, range.size()));
    } else {
      const void* const nodes[] = {left, right};
      rounded_sum_.Run(nodes, left, range.size());  // rounds leaves, too; sums are rounded already
    }
    Release(merge.right.begin);
  }
}

comm::Wire GradientReducer::WireOf(int bucket) const {
  return buckets_[bucket].last_parameter < 0 ? comm::Wire::kFull : options_.wire;
}

void GradientReducer::MergeThreads(int bucket) {
  const Bucket& range = buckets_[bucket];
  for (size_t i = 1; i < slots_.size(); ++i) {
    if (slots_[i].free) continue;  // its thread came too late for a lane
    kernels::AddInto(absl::MakeConstSpan(slots_[i].data() + range.begin, range.size()),
                     absl::MakeSpan(slots_[0].data() + range.begin, range.size()));
  }
}

void GradientReducer::Release(int lane) {
  std::lock_guard lock(slots_mutex_);
  SlotState& slot = slots_[slot_of_lane_[lane - owned_.begin]];
  if (--slot.buckets_left > 0) return;
  slot.free = true;
  slot_freed_.notify_all();  // only one lane is next, and any waiter may be it
}

void GradientReducer::MarkReady(int bucket) {
  std::lock_guard lock(issue_mutex_);
  states_[bucket]->ready = true;
  while (next_bucket_ < static_cast<int>(buckets_.size()) && states_[next_bucket_]->ready) {
    if (options_.exchange) works_.push_back(Start(next_bucket_));
    ++next_bucket_;
  }
}

std::unique_ptr<comm::Work> GradientReducer::Start(int bucket) {
  const Bucket& range = buckets_[bucket];
  const auto buffer = [&](int slot) {
    return comm::BufferOf(absl::MakeSpan(slots_[slot].data() + range.begin, range.size()));
  };
  comm::CallOptions call;
  call.algorithm = options_.algorithm;
  call.wire = WireOf(bucket);
  if (!options_.reproducible) {
    return communicator_->StartAllReduce(buffer(0), buffer(0), comm::ReduceOp::kSum, call);
  }
  std::lock_guard lock(slots_mutex_);
  std::vector<comm::LanePart> parts;
  for (comm::LaneRange part : parts_)
    parts.push_back({part, buffer(slot_of_lane_[part.begin - owned_.begin])});
  if (options_.shards != nullptr && range.last_parameter >= 0) {
    const ElementRange own = options_.shards->Part(bucket, communicator_->rank());
    float* const sum = slots_[slot_of_lane_[0]].data() + own.begin;
    return communicator_->StartReduceScatterLanes(parts, options_.lanes, options_.shards->Counts(bucket),
                                                  comm::BufferOf(absl::MakeSpan(sum, own.size())), call);
  }
  return communicator_->StartReduceLanes(parts, options_.lanes, buffer(slot_of_lane_[0]), call);
}

absl::StatusOr<float*> GradientReducer::Finish() {
  const double start = MonotonicSeconds();
  absl::Status status;
  for (auto& work : works_) status.Update(work->Wait());
  if (status.ok() && options_.shards != nullptr && options_.mirror) status = ExchangeMirrors();
  wait_seconds_ = MonotonicSeconds() - start;
  RETURN_IF_ERROR(status);
  return slots_[options_.reproducible ? slot_of_lane_[0] : 0].data();
}

// Every rank gives its sums to the next one, in place of that rank's own lanes.
absl::Status GradientReducer::ExchangeMirrors() {
  const ShardPlan& shards = *options_.shards;
  const int rank = communicator_->rank(), size = communicator_->size();
  if (size == 1) return absl::OkStatus();
  float* const gradient = slots_[slot_of_lane_[0]].data();
  const auto part = [&](int bucket, int of) {
    const ElementRange range = shards.Part(bucket, of);
    // An empty part begins where its neighbour does, and what is sent and received must be two buffers.
    float* const data = range.size() > 0 ? gradient + range.begin : nullptr;
    return comm::BufferOf(absl::MakeSpan(data, range.size()));
  };
  for (int bucket = 0; bucket < shards.buckets(); ++bucket) {
    const int before = MirroredBy(rank, size);
    RETURN_IF_ERROR(
        communicator_->SendRecv(part(bucket, rank), MirrorOf(rank, size), part(bucket, before), before));
  }
  return absl::OkStatus();
}

}  // namespace lockstep::train
