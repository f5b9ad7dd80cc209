#include "runtime/train/checkpoint_writer.h"

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

#include "absl/strings/match.h"
#include "runtime/core/thread.h"
#include "runtime/train/checkpoint_parts.h"

namespace lockstep::train {
namespace {

absl::Status CheckNames(const TrainTensors& tensors) {
  for (const NamedTensor& tensor : tensors.optimizer) {
    if (absl::StartsWith(tensor.name, kEmaPrefix)) {
      return absl::InvalidArgumentError(absl::StrCat("optimizer tensor '", tensor.name, "' begins with '",
                                                     kEmaPrefix, "', which marks averaged weights"));
    }
  }
  std::vector<NamedTensor> all;
  for (const CheckpointPart& part : DivideState(tensors, 1)) {
    for (const PartTensor& entry : part.tensors) all.push_back(entry.tensor);
  }
  return CheckUniqueNames(all);
}

constexpr std::chrono::milliseconds kWaitSlice(200);  // between calls of while_waiting

}  // namespace

// The thread, and the one job that it has or waits for.
class CheckpointWriter::Worker {
 public:
  explicit Worker(CheckpointWriterOptions options)
      : options_(std::move(options)), thread_([this] { Loop(); }) {
    last_.step = -1;
    options_.team.patience.abandoned = &abandoned_;
  }

  ~Worker() {
    Wait();
    {
      std::lock_guard lock(mutex_);
      stop_ = true;
    }
    changed_.notify_all();
    thread_.join();
  }

  absl::Status Save(Manifest manifest, const TrainTensors& tensors, bool best) {
    RETURN_IF_ERROR(CheckNames(tensors));
    const SaveTeam& team = options_.team;
    const bool commits = team.shard == 0;
    if (commits) Wait();
    // Once the rank that commits is here, the save before is over, and nobody need go on with it.
    if (team.meet) RETURN_IF_ERROR(team.meet());
    if (!commits) Abandon();
    if (team.shard < 0) return absl::OkStatus();
    Job job{std::move(manifest), {}, {}, best};
    // The worker is idle, so the copies are this thread's until the job is handed over.
    if (commits) {
      job.tensors.parameters = Copied(tensors.parameters, 0);
      job.tensors.buffers = Copied(tensors.buffers, 1);
      job.tensors.optimizer = Copied(tensors.optimizer, 2);
      job.tensors.ema = Copied(tensors.ema, 3);
    } else {
      job.parts = CopiedShard(tensors);
    }
    {
      std::lock_guard lock(mutex_);
      job_ = std::move(job);
    }
    changed_.notify_all();
    return absl::OkStatus();
  }

  bool busy() const {
    std::lock_guard lock(mutex_);
    return job_.has_value();
  }

  SaveOutcome Wait() {
    std::unique_lock lock(mutex_);
    while (!changed_.wait_for(lock, kWaitSlice, [this] { return !job_.has_value(); })) {
      lock.unlock();
      if (options_.while_waiting) options_.while_waiting();
      lock.lock();
    }
    return last_;
  }

  SaveOutcome Abandon() {
    abandoned_ = true;
    SaveOutcome outcome = Wait();
    abandoned_ = false;
    return outcome;
  }

 private:
  struct Job {
    Manifest manifest;
    TrainTensors tensors;               // on the rank that commits
    std::vector<CheckpointPart> parts;  // on the others
    bool best = false;
  };

  std::vector<NamedTensor> Copied(const std::vector<NamedTensor>& tensors, int list) {
    copies_[list].CopyFrom(tensors, options_.copy);
    return {copies_[list].tensors().begin(), copies_[list].tensors().end()};
  }

  // This rank's share alone.
  std::vector<CheckpointPart> CopiedShard(const TrainTensors& tensors) {
    std::vector<CheckpointPart> parts = DivideState(tensors, options_.team.shards);
    std::erase_if(parts, [&](const CheckpointPart& part) { return part.shard != options_.team.shard; });
    std::vector<NamedTensor> all;
    for (const CheckpointPart& part : parts) {
      for (const PartTensor& entry : part.tensors) all.push_back(entry.tensor);
    }
    copies_[0].CopyFrom(all, options_.copy);
    auto copy = copies_[0].tensors().begin();
    for (CheckpointPart& part : parts) {
      for (PartTensor& entry : part.tensors) entry.tensor = *copy++;
    }
    return parts;
  }

  void Loop() {
    NameThread("checkpoint");
    while (true) {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [this] { return job_.has_value() || stop_; });
      if (!job_.has_value()) return;
      const Job& job = *job_;  // stays put until it is reset below
      lock.unlock();
      SaveOutcome outcome = options_.team.shard == 0
                                ? SaveCheckpoint(options_, job.manifest, job.tensors, job.best)
                                : SaveShard(options_, job.manifest, job.parts);
      if (options_.on_done) options_.on_done(outcome);
      lock.lock();
      last_ = std::move(outcome);
      job_.reset();
      lock.unlock();
      changed_.notify_all();
    }
  }

  CheckpointWriterOptions options_;
  std::atomic<bool> abandoned_ = false;
  TensorStore copies_[4];  // one a list of TrainTensors
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::optional<Job> job_;  // being saved
  SaveOutcome last_;
  bool stop_ = false;
  std::thread thread_;  // last: it uses all of the above
};

CheckpointWriter::CheckpointWriter(CheckpointWriterOptions options)
    : worker_(std::make_unique<Worker>(std::move(options))) {}
CheckpointWriter::~CheckpointWriter() = default;

absl::Status CheckpointWriter::Save(Manifest manifest, const TrainTensors& tensors, bool best) {
  return worker_->Save(std::move(manifest), tensors, best);
}

bool CheckpointWriter::busy() const { return worker_->busy(); }

SaveOutcome CheckpointWriter::Wait() { return worker_->Wait(); }

SaveOutcome CheckpointWriter::Abandon() { return worker_->Abandon(); }

}  // namespace lockstep::train
