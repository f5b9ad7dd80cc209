#include <liburing.h>

#include <algorithm>
#include <cerrno>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>
#include <utility>

#include "runtime/core/thread.h"
#include "runtime/data/read/async_reads.h"

namespace lockstep::data {
namespace {

constexpr size_t kMostBytes = size_t{1} << 30;  // of one read: its length has 32 bits

// One ring. Whoever starts a read submits it; one thread takes what is finished.
class UringReads final : public AsyncReads {
 public:
  UringReads(const io_uring& ring, int depth, AsyncReads* others)
      : depth_(depth), others_(others), ring_(ring), thread_([this] { Finish(); }) {}
  ~UringReads() override {
    {
      std::unique_lock lock(mutex_);
      stop_ = true;
      idle_.wait(lock, [&] { return under_way_ == 0 && waiting_.empty(); });
      Submit(nullptr);  // wakes the thread up
    }
    thread_.join();
    io_uring_queue_exit(&ring_);
  }

  void Start(const ReadableFile* file, uint64_t offset, absl::Span<char> out, Done done) override {
    if (file->descriptor() < 0) return others_->Start(file, offset, out, std::move(done));
    auto* item = new Item{file, offset, out, std::move(done)};  // freed where it is finished
    std::lock_guard lock(mutex_);
    if (under_way_ < depth_ && waiting_.empty()) {
      Submit(item);
    } else {
      waiting_.push_back(item);
    }
  }

  std::string name() const override { return "io_uring"; }

 private:
  struct Item {
    const ReadableFile* file;
    uint64_t offset;
    absl::Span<char> out;  // what is still missing
    Done done;
  };

  // With the lock. The ring has room for depth_ reads and what wakes the thread up.
  void Submit(Item* item) {
    io_uring_sqe* entry = io_uring_get_sqe(&ring_);
    if (item == nullptr) {
      io_uring_prep_nop(entry);
    } else {
      ++under_way_;
      const auto size = static_cast<unsigned>(std::min(item->out.size(), kMostBytes));
      io_uring_prep_read(entry, item->file->descriptor(), item->out.data(), size, item->offset);
    }
    io_uring_sqe_set_data(entry, item);
    int submitted = 0;
    do {
      submitted = io_uring_submit(&ring_);
    } while (submitted == -EINTR || submitted == -EAGAIN || submitted == -EBUSY);
  }

  void Finish() {
    NameThread("io_uring");
    while (true) {
      io_uring_cqe* entry = nullptr;
      if (io_uring_wait_cqe(&ring_, &entry) != 0) continue;  // a signal
      auto* item = static_cast<Item*>(io_uring_cqe_get_data(entry));
      const int result = entry->res;
      io_uring_cqe_seen(&ring_, entry);
      if (item == nullptr) return;
      {
        std::lock_guard lock(
            mutex_);  // what the submitter wrote to `item` went through the kernel: order it here
      }
      Finished(item, result);
    }
  }

  void Finished(Item* item, int result) {
    const bool again = result == -EINTR || result == -EAGAIN;
    if (result > 0) {
      item->offset += static_cast<uint64_t>(result);
      item->out.remove_prefix(static_cast<size_t>(result));
    }
    const bool more = again || (result > 0 && !item->out.empty());
    if (!more) {
      // The end of the file, or an error: read what is missing in the plain way, which says what is wrong.
      item->done(item->out.empty() ? absl::OkStatus()
                                   : item->file->ReadAt(item->offset, item->out.data(), item->out.size()));
      delete item;
    }
    std::lock_guard lock(mutex_);
    --under_way_;
    if (more) Submit(item);
    while (under_way_ < depth_ && !waiting_.empty()) {
      Submit(waiting_.front());
      waiting_.pop_front();
    }
    if (stop_) idle_.notify_all();
  }

  const int depth_;
  AsyncReads* const others_;
  std::mutex mutex_;  // guards submissions and all below but the thread
  std::condition_variable idle_;
  io_uring ring_;
  int under_way_ = 0;
  std::deque<Item*> waiting_;
  bool stop_ = false;
  std::thread thread_;
};

}  // namespace

std::unique_ptr<AsyncReads> MakeUringReads(int depth, AsyncReads* others) {
  io_uring ring;
  const int entries = std::clamp(depth, 1, 4096);
  if (io_uring_queue_init(static_cast<unsigned>(entries) + 1, &ring, 0) != 0) return nullptr;
  io_uring_probe* probe = io_uring_get_probe_ring(&ring);
  const bool reads = probe != nullptr && io_uring_opcode_supported(probe, IORING_OP_READ) != 0;
  if (probe != nullptr) io_uring_free_probe(probe);
  if (!reads) {
    io_uring_queue_exit(&ring);
    return nullptr;
  }
  return std::make_unique<UringReads>(ring, entries, others);
}

}  // namespace lockstep::data
