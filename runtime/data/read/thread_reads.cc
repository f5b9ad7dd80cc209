#include <algorithm>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "runtime/core/thread.h"
#include "runtime/data/read/async_reads.h"

namespace lockstep::data {
namespace {

class ThreadReads final : public AsyncReads {
 public:
  explicit ThreadReads(int threads) {
    for (int i = 0; i < std::max(1, threads); ++i) threads_.emplace_back([this] { Work(); });
  }
  ~ThreadReads() override {
    {
      std::lock_guard lock(mutex_);
      stop_ = true;
    }
    work_.notify_all();
    for (std::thread& thread : threads_) thread.join();
  }

  void Start(const ReadableFile* file, uint64_t offset, absl::Span<char> out, Done done) override {
    {
      std::lock_guard lock(mutex_);
      waiting_.push_back({file, offset, out, std::move(done)});
    }
    work_.notify_one();
  }

  std::string name() const override { return absl::StrCat(threads_.size(), " threads"); }

 private:
  struct Item {
    const ReadableFile* file;
    uint64_t offset;
    absl::Span<char> out;
    Done done;
  };

  void Work() {
    NameThread("read");
    std::unique_lock lock(mutex_);
    while (true) {
      work_.wait(lock, [&] { return stop_ || !waiting_.empty(); });
      if (waiting_.empty()) return;  // whatever was started is finished first
      Item item = std::move(waiting_.front());
      waiting_.pop_front();
      lock.unlock();
      item.done(item.file->ReadAt(item.offset, item.out.data(), item.out.size()));
      lock.lock();
    }
  }

  std::mutex mutex_;  // guards all below but the threads
  std::condition_variable work_;
  std::deque<Item> waiting_;
  bool stop_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace

std::unique_ptr<AsyncReads> MakeThreadReads(int threads) { return std::make_unique<ThreadReads>(threads); }

}  // namespace lockstep::data
