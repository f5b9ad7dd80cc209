#include "comm/front.h"

#include <utility>

#include "absl/time/clock.h"
#include "comm/dump.h"
#include "comm/plan/cost_model.h"
#include "runtime/core/thread.h"

namespace lockstep::comm {
// A queued call. Filled under the front's mutex; its result under its own.
struct Front::Task {
  Call call;
  CallOptions options;
  RunContext context{{}, CallClock(absl::ZeroDuration())};

  std::mutex mutex;
  std::condition_variable finished;
  bool done = false;
  absl::Status result;

  void Finish(const absl::Status& status) {
    std::lock_guard<std::mutex> lock(mutex);
    done = true;
    result = status;
    finished.notify_all();
  }
  absl::Status Wait() {
    std::unique_lock<std::mutex> lock(mutex);
    finished.wait(lock, [&] { return done; });
    return result;
  }
};

class Front::TaskWork : public Work {
 public:
  explicit TaskWork(std::shared_ptr<Task> task) : task_(std::move(task)) {}
  ~TaskWork() override { task_->Wait().IgnoreError(); }
  bool Done() const override {
    std::lock_guard<std::mutex> lock(task_->mutex);
    return task_->done;
  }
  absl::Status Wait() override { return task_->Wait(); }

 private:
  const std::shared_ptr<Task> task_;
};

std::unique_ptr<Communicator> MakeFront(std::unique_ptr<Engine> engine, const FrontOptions& options) {
  return std::make_unique<Front>(std::move(engine), options);
}

Front::Front(std::unique_ptr<Engine> engine, const FrontOptions& options)
    : engine_(std::move(engine)),
      options_(options),
      rank_(engine_->rank()),
      size_(engine_->size()),
      sent_(size_),
      received_(size_) {}

Front::~Front() {
  bool pending;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    pending = running_ || !queue_.empty();
    stop_ = true;
  }
  if (pending)
    Abort(PeerError(absl::StrCat("rank ", rank_, " closed its communicator with collectives under way")));
  wake_.notify_all();
  if (progress_.joinable()) progress_.join();
}

absl::Status Front::Prepare(Call& call, const CallOptions& o) const {
  call.wire = o.wire;
  if (o.algorithm.empty()) {
    RETURN_IF_ERROR(Validate(call, rank_, size_));
    // The communicator's default is a wish for where it applies.
    const Algorithm wish = options_.algorithm;
    if (wish != Algorithm::kAuto && CheckAlgorithm(call, wish, size_).ok()) call.algorithm = wish;
    return absl::OkStatus();
  }
  const auto asked = AlgorithmFromName(o.algorithm);
  if (!asked.ok()) return absl::InvalidArgumentError(asked.status().message());
  call.algorithm = *asked;
  RETURN_IF_ERROR(Validate(call, rank_, size_));
  return CheckAlgorithm(call, call.algorithm, size_);
}

RunContext Front::NextContext(const Call& call, const CallOptions& o, bool background) {
  const absl::Duration allowed = o.deadline > absl::ZeroDuration() ? o.deadline : options_.deadline;
  RunContext context{{}, CallClock(allowed)};
  uint64_t sequence = 0;
  if (!IsPointToPoint(call.kind)) sequence = sequence_++;
  if (call.to >= 0) sequence = context.send_sequence = sent_[call.to]++;
  if (call.from >= 0) sequence = context.recv_sequence = received_[call.from]++;
  context.descriptor = DescriptorOf(call, sequence, size_);
  context.background = background;
  context.record = recorder_.Issue(call, context.descriptor, background);
  return context;
}

absl::Status Front::RunNow(const Call& call, RunContext& context) {
  absl::Status result = engine_->Run(call, context);
  std::unique_lock<std::mutex> lock(mutex_);
  recorder_.End(context.record, result.ok(), context.ran);
  if (result.ok() && failure_.ok()) {
    running_ = false;
    if (!queue_.empty()) wake_.notify_one();
    return result;
  }
  if (failure_.ok()) {
    failure_ = Annotate(
        result, absl::StrCat("rank ", rank_, " of ", size_, ", ", comm::Describe(context.descriptor)));
    failing_.store(true, std::memory_order_relaxed);
  }
  const absl::Status failure = failure_;
  const auto dropped = std::exchange(queue_, {});
  lock.unlock();
  for (const auto& task : dropped) task->Finish(failure);
  Report(failure);
  lock.lock();
  running_ = false;
  return failure;
}

void Front::Report(const absl::Status& failure) {
  const DumpOptions& options = options_.dump;
  Dump dump;
  if (!options.path.empty()) {
    dump.failed = absl::ToUnixNanos(absl::Now());
    std::lock_guard<std::mutex> lock(mutex_);
    dump.calls = recorder_.issued();
    dump.collectives = sequence_;
    dump.records = recorder_.Snapshot();
  }
  engine_->ReportFailure(failure);  // the peers wait for it; the disk can wait
  if (options.path.empty()) return;
  dump.rank = rank_;
  dump.size = size_;
  dump.generation = options_.generation;
  dump.backend = engine_->backend();
  dump.world = options.world;
  dump.failure = std::string(failure.message());
  const absl::Status written = WriteDump(dump, options.path);
  if (options.log == nullptr) return;
  if (!written.ok()) {
    options.log->Warning(
        absl::StrCat("the last calls of rank ", rank_, " could not be written down: ", written.message()));
  } else if (rank_ == 0) {
    options.log->Warning(absl::StrCat("the ranks' last calls are in ", options.path,
                                      " and the files beside it; `lockstep comm explain` compares them"));
  }
}

absl::Status Front::RunBlocking(Call call, const CallOptions& o) {
  RETURN_IF_ERROR(Prepare(call, o));
  std::shared_ptr<Task> task;
  std::unique_lock<std::mutex> lock(mutex_);
  if (!failure_.ok()) return failure_;
  if (running_ || !queue_.empty()) {
    task = Enqueue(std::move(call), o);
    lock.unlock();
    return task->Wait();
  }
  running_ = true;
  RunContext context = NextContext(call, o, false);
  lock.unlock();
  return RunNow(call, context);
}

std::shared_ptr<Front::Task> Front::Enqueue(Call call, const CallOptions& o) {
  auto task = std::make_shared<Task>();
  task->context = NextContext(call, o, true);
  task->call = std::move(call);
  queue_.push_back(task);
  if (!progress_.joinable()) progress_ = std::thread(&Front::ProgressLoop, this);
  if (!running_) wake_.notify_one();
  return task;
}

std::unique_ptr<Work> Front::Start(Call call, const CallOptions& o) {
  std::shared_ptr<Task> task;
  absl::Status status = Prepare(call, o);
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (status.ok()) status = failure_;
    if (status.ok()) task = Enqueue(std::move(call), o);
  }
  if (!status.ok()) {
    task = std::make_shared<Task>();
    task->Finish(status);
  }
  return std::make_unique<TaskWork>(std::move(task));
}

void Front::ProgressLoop() {
  NameThread("lockstep-comm");
  std::unique_lock<std::mutex> lock(mutex_);
  while (true) {
    wake_.wait(lock, [&] { return (!queue_.empty() && !running_) || (stop_ && queue_.empty()); });
    if (queue_.empty()) return;
    const std::shared_ptr<Task> task = std::move(queue_.front());
    queue_.pop_front();
    running_ = true;
    recorder_.Start(task->context.record);
    lock.unlock();
    task->Finish(RunNow(task->call, task->context));
    lock.lock();
  }
}

void Front::Abort(const absl::Status& reason) {
  const absl::Status cause = reason.ok() ? PeerError("aborted without a reason") : reason;
  std::deque<std::shared_ptr<Task>> dropped;
  bool report = false;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (!failure_.ok()) return;
    failure_ = cause;
    failing_.store(true, std::memory_order_relaxed);
    dropped.swap(queue_);
    report = !running_;
    if (report) running_ = true;
  }
  engine_->Interrupt(cause);
  for (const auto& task : dropped) task->Finish(cause);
  if (!report) return;  // who runs will report
  Report(cause);
  std::lock_guard<std::mutex> lock(mutex_);
  running_ = false;
}

absl::Status Front::status() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return failure_;
}

absl::StatusOr<PeerBuffer> Front::AllocatePeerBuffer(size_t size_bytes) {
  return engine_->AllocatePeerBuffer(size_bytes);
}

}  // namespace lockstep::comm
