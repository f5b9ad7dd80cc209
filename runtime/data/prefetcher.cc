#include "runtime/data/prefetcher.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>
#include <vector>

#include "runtime/core/clock.h"
#include "runtime/core/thread.h"

namespace lockstep::data {

// An *item* is one micro-batch that this rank will take, numbered from Start in the order of (step, lane,
// micro). The *window* is the items of depth_steps steps from the step in progress; only items inside it are
// decoded, each into the slot item % window. Items are announced in their order, up to the horizon behind the window.
class Prefetcher::Impl {
 public:
  Impl(std::shared_ptr<const Batcher> batcher, PrefetcherOptions options)
      : batcher_(std::move(batcher)),
        depth_steps_(std::max(1, options.depth_steps)),
        announce_steps_(std::max(depth_steps_, options.announce_steps)) {
    if (batcher_->source().repeats_first_step()) {
      kept_.resize(static_cast<size_t>(batcher_->plan().lanes) * batcher_->plan().accumulate);
      return;  // there is nothing to do ahead of time
    }
    for (int i = 0; i < options.threads; ++i) threads_.emplace_back([this] { Work(); });
  }

  ~Impl() {
    {
      std::lock_guard lock(mutex_);
      stop_ = true;
    }
    work_.notify_all();
    for (std::thread& thread : threads_) thread.join();
  }

  void Start(int64_t step, int lane_begin, int lane_end) {
    std::deque<Ticket> given_up;  // without the lock
    {
      std::lock_guard lock(mutex_);
      for (Slot& slot : slots_) Drop(&slot);
      ++generation_;
      start_step_ = step;
      lane_begin_ = lane_begin;
      items_per_step_ = static_cast<int64_t>(lane_end - lane_begin) * batcher_->plan().accumulate;
      first_item_ = next_item_ = first_ticket_ = 0;
      given_up.swap(tickets_);
      slots_.clear();
      slots_.resize(threads_.empty() ? 0 : static_cast<size_t>(items_per_step_) * depth_steps_);
    }
    work_.notify_all();
    ready_.notify_all();  // whoever waits for an item of before decodes it now
  }

  absl::StatusOr<std::unique_ptr<Batch>> Take(int64_t step, int lane, int micro, int64_t* kept) {
    const double start = MonotonicSeconds();
    auto batch = kept_.empty() ? TakeNew(step, lane, micro) : TakeKept(step, lane, micro, kept);
    wait_nanoseconds_ += static_cast<int64_t>((MonotonicSeconds() - start) * 1e9);
    return batch;
  }

  void GiveBack(std::unique_ptr<Batch> batch, int64_t kept) {
    std::lock_guard lock(mutex_);
    if (kept >= 0) {
      kept_[kept] = std::move(batch);
    } else {
      free_.push_back(std::move(batch));
    }
  }

  double TakeWaitSeconds() { return static_cast<double>(wait_nanoseconds_.exchange(0)) * 1e-9; }
  const Batcher& batcher() const { return *batcher_; }

 private:
  using Ticket = std::shared_ptr<const void>;
  struct Where {
    int64_t step;
    int lane, micro;
  };
  enum class State : uint8_t { kNobodys, kDecoding, kReady, kTaken };
  struct Slot {
    int64_t item = -1;
    State state = State::kNobodys;
    std::unique_ptr<Batch> batch;  // kReady
    absl::Status status;           // kReady
  };

  absl::StatusOr<std::unique_ptr<Batch>> TakeNew(int64_t step, int lane, int micro) {
    std::unique_lock lock(mutex_);
    const int64_t item = ItemOf(step, lane, micro);
    if (item >= 0) {
      BeginStep(step);
      Slot& slot = slots_[item % slots_.size()];
      if (item >= next_item_ && slot.item != item) {
        slot.item = item;  // nobody has begun it: it is done here, and workers pass over it
        slot.state = State::kTaken;
      } else {
        const int64_t generation = generation_;
        // Once the generation has moved on, `slot` is gone.
        ready_.wait(lock, [&] {
          return generation != generation_ || slot.item != item || slot.state != State::kDecoding;
        });
        if (generation == generation_ && slot.item == item && slot.state == State::kReady) {
          slot.state = State::kTaken;
          std::unique_ptr<Batch> batch = std::move(slot.batch);
          if (slot.status.ok()) return batch;
          free_.push_back(std::move(batch));
          return slot.status;
        }
      }
    }
    std::unique_ptr<Batch> batch = TakeFree();
    lock.unlock();
    const absl::Status filled = batcher_->Fill(step, lane, micro, batch.get());
    if (filled.ok()) return batch;
    GiveBack(std::move(batch), -1);
    return filled;
  }

  // Of a source that repeats its first step: decoded once for each lane and micro-batch, then lent again and
  // again.
  absl::StatusOr<std::unique_ptr<Batch>> TakeKept(int64_t step, int lane, int micro, int64_t* kept) {
    const int64_t index = static_cast<int64_t>(lane) * batcher_->plan().accumulate + micro;
    std::unique_ptr<Batch> batch;
    {
      std::lock_guard lock(mutex_);
      batch = std::move(kept_[index]);
    }
    *kept = index;
    if (batch != nullptr) {
      batcher_->SetPositions(batcher_->plan().FirstPosition(step, lane, micro), batch.get());
      return batch;
    }
    batch = std::make_unique<Batch>(batcher_->MakeBatch());
    RETURN_IF_ERROR(batcher_->Fill(step, lane, micro, batch.get()));
    return batch;
  }

  // -1 for what is not decoded ahead: not announced, or of a step that is over.
  int64_t ItemOf(int64_t step, int lane, int micro) const {
    const BatchPlan& plan = batcher_->plan();
    const int64_t in_step = static_cast<int64_t>(lane - lane_begin_) * plan.accumulate + micro;
    if (slots_.empty() || step < start_step_ || in_step < 0 || in_step >= items_per_step_) return -1;
    const int64_t item = (step - start_step_) * items_per_step_ + in_step;
    return item < first_item_ ? -1 : item;
  }

  // Moves the window on to `step`.
  void BeginStep(int64_t step) {
    const int64_t first = (step - start_step_) * items_per_step_;
    if (first <= first_item_) return;
    for (Slot& slot : slots_) {
      if (slot.item < first) Drop(&slot);
    }
    first_item_ = first;
    next_item_ = std::max(next_item_, first);
    for (; !tickets_.empty() && first_ticket_ < first; ++first_ticket_) tickets_.pop_front();
    first_ticket_ = std::max(first_ticket_, first);
    work_.notify_all();
  }

  // Whoever decodes into a dropped slot finds another item in it and keeps its buffer for reuse.
  void Drop(Slot* slot) {
    if (slot->batch != nullptr) free_.push_back(std::move(slot->batch));
    slot->item = -1;
    slot->state = State::kNobodys;
  }

  int64_t announced_end() const { return first_ticket_ + static_cast<int64_t>(tickets_.size()); }

  // So many items are announced together, since what lies side by side can then be read together: about a thousand samples,
  // but at most half of all that may be announced.
  int64_t group_items() const {
    constexpr int64_t kSamples = 1024;
    const int64_t most = std::max<int64_t>(1, items_per_step_ * announce_steps_ / 2);
    return std::clamp<int64_t>(kSamples / batcher_->plan().micro_batch(), 1, most);
  }

  // One thread at a time, so that the source hears of them in their order.
  bool CanAnnounce() const {
    const int64_t horizon = first_item_ + items_per_step_ * announce_steps_;
    return announces_ && !announcing_ && announced_end() + group_items() <= horizon;
  }

  void AnnounceGroup(std::unique_lock<std::mutex>* lock) {
    const int64_t generation = generation_, first = announced_end(), count = group_items();
    std::vector<Where> items;
    for (int64_t i = 0; i < count; ++i) items.push_back(WhereIs(first + i));
    tickets_.resize(tickets_.size() + static_cast<size_t>(count));
    announcing_ = true;
    lock->unlock();
    std::vector<Ticket> tickets = AnnounceItems(items);
    lock->lock();
    announcing_ = false;
    if (tickets.empty()) announces_ = false;
    if (generation != generation_) return;  // nobody needs them any more
    for (size_t i = 0; i < tickets.size(); ++i) {
      const int64_t item = first + static_cast<int64_t>(i);
      const bool needed = item >= first_ticket_ && item >= next_item_;
      if (needed) tickets_[static_cast<size_t>(item - first_ticket_)] = std::move(tickets[i]);
    }
    work_.notify_one();  // there may be more to announce
  }

  // A ticket for each item, but all of them announced together; none where the source reads nothing.
  std::vector<Ticket> AnnounceItems(const std::vector<Where>& items) const {
    std::vector<int64_t> samples, all;
    for (const Where& at : items) batcher_->AddSamples(at.step, at.lane, at.micro, &all);
    const Ticket together = batcher_->source().Announce(all);
    std::vector<Ticket> tickets;
    if (together == nullptr) return tickets;
    for (const Where& at : items) {
      samples.clear();
      batcher_->AddSamples(at.step, at.lane, at.micro, &samples);
      tickets.push_back(batcher_->source().Announce(samples));
    }
    return tickets;
  }

  Where WhereIs(int64_t item) const {
    const int accumulate = batcher_->plan().accumulate;
    const int64_t in_step = item % items_per_step_;
    return {start_step_ + item / items_per_step_, lane_begin_ + static_cast<int>(in_step / accumulate),
            static_cast<int>(in_step % accumulate)};
  }

  bool HasWork() const { return next_item_ < first_item_ + static_cast<int64_t>(slots_.size()); }

  std::unique_ptr<Batch> TakeFree() {
    if (free_.empty()) return std::make_unique<Batch>(batcher_->MakeBatch());
    std::unique_ptr<Batch> batch = std::move(free_.back());
    free_.pop_back();
    return batch;
  }

  void Work() {
    NameThread("decode");
    GiveWayToOthers();
    std::unique_lock lock(mutex_);
    while (true) {
      work_.wait(lock, [&] { return stop_ || HasWork() || CanAnnounce(); });
      if (stop_) return;
      if (CanAnnounce()) {
        AnnounceGroup(&lock);
        continue;
      }
      const int64_t item = next_item_++;
      Slot* slot = &slots_[item % slots_.size()];
      if (slot->item == item) continue;  // somebody could not wait and took it
      slot->item = item;
      slot->state = State::kDecoding;
      DecodeItem(item, &lock);
    }
  }

  void DecodeItem(int64_t item, std::unique_lock<std::mutex>* lock) {
    const int64_t generation = generation_;
    const Where where = WhereIs(item);
    std::unique_ptr<Batch> batch = TakeFree();
    lock->unlock();
    absl::Status status = batcher_->Fill(where.step, where.lane, where.micro, batch.get());
    lock->lock();
    if (generation == generation_ && item >= first_ticket_ &&
        item - first_ticket_ < static_cast<int64_t>(tickets_.size())) {
      tickets_[static_cast<size_t>(item - first_ticket_)] = nullptr;  // its records were used
    }
    Slot* slot = generation == generation_ ? &slots_[item % slots_.size()] : nullptr;
    if (slot == nullptr || slot->item != item) {
      free_.push_back(std::move(batch));
      return;
    }
    slot->batch = std::move(batch);
    slot->status = std::move(status);
    slot->state = State::kReady;
    ready_.notify_all();
  }

  const std::shared_ptr<const Batcher> batcher_;
  const int depth_steps_, announce_steps_;
  std::atomic<int64_t> wait_nanoseconds_ = 0;

  std::mutex mutex_;  // guards all below
  std::condition_variable work_, ready_;
  bool stop_ = false;
  int64_t generation_ = 0;  // of Start
  int64_t start_step_ = 0, items_per_step_ = 0;
  int lane_begin_ = 0;
  int64_t first_item_ = 0;  // of the window
  int64_t next_item_ = 0;   // to be decoded
  std::vector<Slot> slots_;
  std::deque<Ticket> tickets_;  // of the items from first_ticket_ on; null once decoded
  int64_t first_ticket_ = 0;
  bool announces_ = true, announcing_ = false;
  std::vector<std::unique_ptr<Batch>> free_;
  std::vector<std::unique_ptr<Batch>> kept_;  // null while on loan
  std::vector<std::thread> threads_;
};

BatchLease& BatchLease::operator=(BatchLease&& other) noexcept {
  std::swap(owner_, other.owner_);
  std::swap(batch_, other.batch_);
  std::swap(kept_, other.kept_);
  return *this;
}

BatchLease::~BatchLease() {
  if (batch_ != nullptr) owner_->impl_->GiveBack(std::move(batch_), kept_);
}

Prefetcher::Prefetcher(std::shared_ptr<const Batcher> batcher, PrefetcherOptions options)
    : impl_(std::make_unique<Impl>(std::move(batcher), options)) {}
Prefetcher::~Prefetcher() = default;

void Prefetcher::Start(int64_t step, int lane_begin, int lane_end) {
  impl_->Start(step, lane_begin, lane_end);
}

absl::StatusOr<BatchLease> Prefetcher::Take(int64_t step, int lane, int micro) {
  BatchLease lease;
  lease.owner_ = this;
  ASSIGN_OR_RETURN(lease.batch_, impl_->Take(step, lane, micro, &lease.kept_));
  return lease;
}

double Prefetcher::TakeWaitSeconds() { return impl_->TakeWaitSeconds(); }
const Batcher& Prefetcher::batcher() const { return impl_->batcher(); }

}  // namespace lockstep::data
