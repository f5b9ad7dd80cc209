// One collective of the benchmark: its buffers, its input values and what must come out. Internal to
// comm/bench.
//
// Inputs repeat a table of kPeriod values (a prime, so that data that arrives shifted is noticed): small
// whole numbers, whose reduction over any number of ranks is known exactly in every type.
#ifndef LOCKSTEP_COMM_BENCH_BENCH_CASE_H_
#define LOCKSTEP_COMM_BENCH_BENCH_CASE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "comm/call.h"

namespace lockstep::comm {

// What the benchmark can run: a Collective of its own, since send_recv and reduce_lanes have their own data
// layout.
struct BenchKind {
  Collective collective;
  bool reduces;  // has an operation
  bool rooted;
  double BusFactor(int ranks) const;  // busbw / algbw, as nccl-tests defines it
};
// Error: ConfigError listing the known names.
absl::StatusOr<BenchKind> BenchKindFromName(const std::string& name);

// What is timed and checked at one point of the sweep.
struct BenchPoint {
  BenchKind kind;
  ReduceOp op;
  DType dtype;
  int root;
  int lanes;
  size_t count;  // elements of one rank's part (nccl-tests' count column)
  bool in_place;
};

// Elements of one rank's part when all of it together is about `size_bytes`.
size_t CountFor(const BenchKind& kind, size_t size_bytes, DType dtype, int ranks);
// The size column: the larger of what a rank puts in and gets out.
size_t SizeBytes(const BenchKind& kind, size_t count, DType dtype, int ranks);

// Buffers for the largest size, used by every point.
class BenchBuffers {
 public:
  static absl::StatusOr<std::unique_ptr<BenchBuffers>> Make(Communicator& comm, const BenchKind& kind,
                                                            int lanes, size_t max_bytes, bool plain);

  void Fill(const BenchPoint& point);                                          // this rank's input
  std::unique_ptr<Work> Start(const BenchPoint& point, const CallOptions& o);  // null where only Run exists
  absl::Status Run(const BenchPoint& point, const CallOptions& o);
  uint64_t CountWrong(const BenchPoint& point) const;  // values of this rank's output

 private:
  explicit BenchBuffers(Communicator& comm) : comm_(comm) {}
  absl::StatusOr<std::byte*> Allocate(size_t size_bytes, bool plain);
  ConstBuffer In(const BenchPoint& point) const;
  Buffer Out(const BenchPoint& point) const;
  std::vector<LanePart> Parts(const BenchPoint& point) const;

  Communicator& comm_;
  std::vector<PeerBuffer> memory_;
  std::byte* in_ = nullptr;
  std::byte* out_ = nullptr;
  std::vector<std::byte*> parts_;  // of reduce_lanes
};

}  // namespace lockstep::comm

#endif  // LOCKSTEP_COMM_BENCH_BENCH_CASE_H_
