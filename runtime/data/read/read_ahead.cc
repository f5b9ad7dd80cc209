#include "runtime/data/read/read_ahead.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <utility>

#include "absl/container/flat_hash_map.h"

namespace lockstep::data {
namespace {

// One read and what it fetched.
struct Extent {
  enum class State : uint8_t { kWaiting, kReading, kReady };
  Extent(const Place& place, std::shared_ptr<std::atomic<uint64_t>> held)
      : place(place), held_bytes(std::move(held)) {}
  ~Extent() {
    if (bytes != nullptr) held_bytes->fetch_sub(place.size_bytes);
  }
  const Place place;
  const std::shared_ptr<std::atomic<uint64_t>> held_bytes;  // of all extents together
  State state = State::kWaiting;
  std::unique_ptr<char[]> bytes;  // once it is being read
  absl::Status status;            // kReady
};

}  // namespace

class ReadAhead::Impl : public std::enable_shared_from_this<Impl> {
 public:
  Impl(std::vector<const ReadableFile*> files, const ReadAheadOptions& options)
      : files_(std::move(files)), options_(options), threads_(MakeThreadReads(options.threads)) {
    const bool descriptors = std::any_of(files_.begin(), files_.end(), [](const ReadableFile* file) {
      return file != nullptr && file->descriptor() >= 0;
    });
    if (options.uring && descriptors) uring_ = MakeUringReads(options.reads, threads_.get());
  }

  // Nothing is begun any more; what is being read is waited for.
  void Stop() {
    {
      std::lock_guard lock(mutex_);
      stop_ = true;
    }
    uring_.reset();
    threads_.reset();
  }

  Ticket Announce(absl::Span<const Wanted> wanted) {
    auto ticket = std::make_shared<Announcement>();
    ticket->owner = weak_from_this();
    std::lock_guard lock(mutex_);
    std::vector<Wanted> fresh;
    for (const Wanted& one : wanted) {
      ticket->ids.push_back(one.id);
      Entry& entry = entries_[one.id];
      if (entry.uses++ == 0) fresh.push_back(one);
    }
    std::vector<Place> places;
    for (const Wanted& one : fresh) places.push_back(one.place);
    const ReadPlan plan = Coalesce(places, options_.gap_bytes, options_.most_bytes);
    std::vector<std::shared_ptr<Extent>> extents;
    for (const Place& read : plan.reads) {
      extents.push_back(std::make_shared<Extent>(read, held_bytes_));
      queue_.push_back(extents.back());
    }
    for (size_t i = 0; i < fresh.size(); ++i) {
      entries_[fresh[i].id].extent = extents[static_cast<size_t>(plan.read_of[i])];
    }
    Begin();
    return ticket;
  }

  absl::StatusOr<RecordView> Read(const Wanted& wanted) {
    {
      std::unique_lock lock(mutex_);
      const auto found = entries_.find(wanted.id);
      const std::shared_ptr<Extent> extent = found == entries_.end() ? nullptr : found->second.extent;
      // One whose turn has not come is not waited for: what holds the budget may be waiting for us.
      if (extent != nullptr && extent->state != Extent::State::kWaiting) {
        ready_.wait(lock, [&] { return extent->state == Extent::State::kReady; });
        if (extent->status.ok()) {
          const absl::string_view bytes(extent->bytes.get() + (wanted.place.offset - extent->place.offset),
                                        wanted.place.size_bytes);
          return RecordView(bytes, extent);
        }
      }
      ++counts_.direct_reads;  // also after an error: this read has it again, or the trouble is over
    }
    std::shared_ptr<char[]> bytes(new char[wanted.place.size_bytes]);
    RETURN_IF_ERROR(files_[static_cast<size_t>(wanted.place.file)]->ReadAt(wanted.place.offset, bytes.get(),
                                                                           wanted.place.size_bytes));
    const absl::string_view view(bytes.get(), wanted.place.size_bytes);
    return RecordView(view, std::move(bytes));
  }

  Counts counts() const {
    std::lock_guard lock(mutex_);
    return counts_;
  }
  std::string method() const { return uring_ != nullptr ? uring_->name() : threads_->name(); }

 private:
  struct Entry {
    std::shared_ptr<Extent> extent;
    int uses = 0;  // tickets that name it
  };
  struct Announcement {
    std::weak_ptr<Impl> owner;
    std::vector<int64_t> ids;
    ~Announcement() {
      if (const auto impl = owner.lock()) impl->GiveUp(ids);
    }
  };

  void GiveUp(const std::vector<int64_t>& ids) {
    std::vector<std::shared_ptr<Extent>> gone;  // freed without the lock
    std::unique_lock lock(mutex_);
    for (const int64_t id : ids) {
      const auto entry = entries_.find(id);
      if (--entry->second.uses > 0) continue;
      gone.push_back(std::move(entry->second.extent));
      entries_.erase(entry);
    }
    lock.unlock();
    gone.clear();
    lock.lock();
    Begin();
  }

  // Begins reads in their order while the budget lasts; always one where nothing else is held. With the lock.
  void Begin() {
    if (stop_) return;
    AsyncReads* reads = uring_ != nullptr ? uring_.get() : threads_.get();
    while (!queue_.empty()) {
      const std::shared_ptr<Extent> extent = queue_.front().lock();
      if (extent == nullptr) {  // given up
        queue_.pop_front();
        continue;
      }
      const uint64_t held = held_bytes_->load();
      if (held > 0 && held + extent->place.size_bytes > options_.budget_bytes) break;
      queue_.pop_front();
      extent->bytes.reset(new char[extent->place.size_bytes]);  // not zeroed
      held_bytes_->fetch_add(extent->place.size_bytes);
      extent->state = Extent::State::kReading;
      ++counts_.reads;
      counts_.read_bytes += extent->place.size_bytes;
      counts_.most_bytes = std::max(counts_.most_bytes, held + extent->place.size_bytes);
      reads->Start(
          files_[static_cast<size_t>(extent->place.file)], extent->place.offset,
          {extent->bytes.get(), extent->place.size_bytes},
          [this, extent](absl::Status status) mutable { Finished(std::move(extent), std::move(status)); });
    }
  }

  void Finished(std::shared_ptr<Extent> extent, absl::Status status) {
    {
      std::lock_guard lock(mutex_);
      extent->status = std::move(status);
      extent->state = Extent::State::kReady;
    }
    ready_.notify_all();
    // Everyone else may have given it up meanwhile: then its bytes of the budget are free only now.
    extent.reset();
    std::lock_guard lock(mutex_);
    Begin();
  }

  const std::vector<const ReadableFile*> files_;
  const ReadAheadOptions options_;
  std::unique_ptr<AsyncReads> threads_, uring_;
  const std::shared_ptr<std::atomic<uint64_t>> held_bytes_ = std::make_shared<std::atomic<uint64_t>>(0);

  mutable std::mutex mutex_;  // guards all below, and the state of extents
  std::condition_variable ready_;
  absl::flat_hash_map<int64_t, Entry> entries_;
  std::deque<std::weak_ptr<Extent>> queue_;  // to be read
  Counts counts_;
  bool stop_ = false;
};

ReadAhead::ReadAhead(std::vector<const ReadableFile*> files, const ReadAheadOptions& options)
    : impl_(std::make_shared<Impl>(std::move(files), options)) {}
ReadAhead::~ReadAhead() { impl_->Stop(); }

ReadAhead::Ticket ReadAhead::Announce(absl::Span<const Wanted> wanted) { return impl_->Announce(wanted); }
absl::StatusOr<RecordView> ReadAhead::Read(const Wanted& wanted) { return impl_->Read(wanted); }
ReadAhead::Counts ReadAhead::counts() const { return impl_->counts(); }
std::string ReadAhead::method() const { return impl_->method(); }

}  // namespace lockstep::data
