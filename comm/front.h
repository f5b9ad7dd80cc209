// The part of a communicator that is the same for every backend: validation, issue order, the progress
// thread, sticky failure, abort. Internal to comm/.
#ifndef LOCKSTEP_COMM_FRONT_H_
#define LOCKSTEP_COMM_FRONT_H_

#include <atomic>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "comm/communicator.h"
#include "comm/engine.h"
#include "comm/recorder.h"

namespace lockstep::comm {

class Front : public Communicator {
 public:
  Front(std::unique_ptr<Engine> engine, const FrontOptions& options);
  ~Front() override;

  int rank() const override { return rank_; }
  int size() const override { return size_; }
  uint64_t generation() const override { return options_.generation; }
  std::string backend() const override { return engine_->backend(); }
  std::string Describe() const override { return engine_->Describe(); }
  std::vector<std::string> Algorithms() const override { return AlgorithmNames(); }

  absl::Status AllReduce(ConstBuffer in, Buffer out, ReduceOp op, const CallOptions& o) override;
  absl::Status ReduceScatter(ConstBuffer in, Buffer out, ReduceOp op, const CallOptions& o) override;
  absl::Status AllGather(ConstBuffer in, Buffer out, const CallOptions& o) override;
  absl::Status Broadcast(Buffer buffer, int root, const CallOptions& o) override;
  absl::Status Reduce(ConstBuffer in, Buffer out, ReduceOp op, int root, const CallOptions& o) override;
  absl::Status Gather(ConstBuffer in, Buffer out, int root, const CallOptions& o) override;
  absl::Status Scatter(ConstBuffer in, Buffer out, int root, const CallOptions& o) override;
  absl::Status AllToAll(ConstBuffer in, Buffer out, const CallOptions& o) override;
  absl::Status Barrier(const CallOptions& o) override;
  absl::Status ReduceScatterV(ConstBuffer in, absl::Span<const size_t> counts, Buffer out, ReduceOp op,
                              const CallOptions& o) override;
  absl::Status AllGatherV(ConstBuffer in, Buffer out, absl::Span<const size_t> counts,
                          const CallOptions& o) override;
  absl::Status GatherV(ConstBuffer in, Buffer out, absl::Span<const size_t> counts, int root,
                       const CallOptions& o) override;
  absl::Status ScatterV(ConstBuffer in, absl::Span<const size_t> counts, Buffer out, int root,
                        const CallOptions& o) override;
  absl::Status AllToAllV(ConstBuffer in, absl::Span<const size_t> send_counts, Buffer out,
                         absl::Span<const size_t> recv_counts, const CallOptions& o) override;
  absl::StatusOr<std::unique_ptr<Communicator>> Split(int color, int key, const CallOptions& o) override;
  absl::Status Send(ConstBuffer in, int to, const CallOptions& o) override;
  absl::Status Recv(Buffer out, int from, const CallOptions& o) override;
  absl::Status SendRecv(ConstBuffer in, int to, Buffer out, int from, const CallOptions& o) override;
  absl::Status ReduceLanes(absl::Span<const LanePart> parts, int lanes, Buffer result,
                           const CallOptions& o) override;
  absl::Status ReduceScatterLanes(absl::Span<const LanePart> parts, int lanes,
                                  absl::Span<const size_t> counts, Buffer out, const CallOptions& o) override;

  std::unique_ptr<Work> StartReduceLanes(absl::Span<const LanePart> parts, int lanes, Buffer result,
                                         const CallOptions& o) override;
  std::unique_ptr<Work> StartAllReduce(ConstBuffer in, Buffer out, ReduceOp op,
                                       const CallOptions& o) override;
  std::unique_ptr<Work> StartReduceScatter(ConstBuffer in, Buffer out, ReduceOp op,
                                           const CallOptions& o) override;
  std::unique_ptr<Work> StartAllGather(ConstBuffer in, Buffer out, const CallOptions& o) override;
  std::unique_ptr<Work> StartBroadcast(Buffer buffer, int root, const CallOptions& o) override;
  std::unique_ptr<Work> StartReduceScatterLanes(absl::Span<const LanePart> parts, int lanes,
                                                absl::Span<const size_t> counts, Buffer out,
                                                const CallOptions& o) override;
  std::unique_ptr<Work> StartAllGatherV(ConstBuffer in, Buffer out, absl::Span<const size_t> counts,
                                        const CallOptions& o) override;

  absl::StatusOr<PeerBuffer> AllocatePeerBuffer(size_t size_bytes) override;
  void NoteProgress() override { engine_->NoteProgress(); }
  void Abort(const absl::Status& reason) override;
  absl::Status status() const override;
  bool Failing() const override { return failing_.load(std::memory_order_relaxed); }

 private:
  struct Task;
  class TaskWork;

  // The algorithm of the call: the one asked for, else the communicator's default where it applies.
  absl::Status Prepare(Call& call, const CallOptions& o) const;
  absl::Status RunBlocking(Call call, const CallOptions& o);
  std::unique_ptr<Work> Start(Call call, const CallOptions& o);
  std::shared_ptr<Task> Enqueue(Call call, const CallOptions& o);  // with mutex_ held

  // With mutex_ held: in issue order. Background: by the progress thread.
  RunContext NextContext(const Call& call, const CallOptions& o, bool background);
  // Runs with `running_` set by the caller, and clears it. Returns the call's result.
  absl::Status RunNow(const Call& call, RunContext& context);
  // Tells the peers of the sticky failure, then writes the dump. With `running_` set by the caller; once.
  void Report(const absl::Status& failure);
  void ProgressLoop();

  const std::unique_ptr<Engine> engine_;
  const FrontOptions options_;
  const int rank_, size_;

  mutable std::mutex mutex_;
  std::condition_variable wake_;  // of the progress thread
  bool running_ = false;          // an engine Run (or the report of a failure) is under way
  bool stop_ = false;
  absl::Status failure_;
  std::atomic<bool> failing_{false};  // failure_ is not OK
  std::deque<std::shared_ptr<Task>> queue_;
  uint64_t sequence_ = 0;  // of the next collective
  Recorder recorder_;
  std::vector<uint64_t> sent_, received_;  // messages so far, for each peer
  std::thread progress_;                   // started with the first Start call
};

}  // namespace lockstep::comm

#endif  // LOCKSTEP_COMM_FRONT_H_
