// One collective of the benchmark: its buffers, its input values and what must come out. Internal to
// comm/bench.
#ifndef LOCKSTEP_COMM_BENCH_BENCH_CASE_H_
#define LOCKSTEP_COMM_BENCH_BENCH_CASE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "comm/call.h"

namespace lockstep::comm {

// What the benchmark can run.
struct BenchKind {
  Collective collective;
  bool reduces;  // has an operation
  bool rooted;
  bool uneven = false;                // the v-form
  double BusFactor(int ranks) const;  // busbw / algbw, as nccl-tests defines it
  // Bytes that the busiest rank loads and stores per byte of the size column when results are pulled from
  // peer buffers: what bounds it on one machine.
  double MovedPerByte(int ranks) const;
};
// Error: ConfigError listing the known names.
absl::StatusOr<BenchKind> BenchKindFromName(const std::string& name);

// What is timed and checked at one point of the sweep.
struct BenchPoint {
  BenchKind kind;
  ReduceOp op;
  DType dtype;
  Wire wire;
  int root;
  int lanes;
  size_t count;  // elements of one rank's part, of the v-forms on average (nccl-tests' count column)
  bool in_place;
};

// Elements of the larger buffer that are `rank`'s. In the v-forms rank r's part is about r + 1 times rank
// 0's; of all_to_all_v rank r sends part (r + p) % ranks to p, which makes r receive as much from p.
Share PartOfRank(const BenchPoint& point, int rank, int ranks);
std::vector<size_t> CountsOf(const BenchPoint& point, int rank, int ranks);

// Elements of one rank's part when all of it together is about `size_bytes`.
size_t CountFor(const BenchKind& kind, size_t size_bytes, DType dtype, int ranks);
// The size column: the larger of what a rank puts in and gets out.
size_t SizeBytes(const BenchKind& kind, size_t count, DType dtype, int ranks);

// Buffers for the largest size, used by every point.
class BenchBuffers {
 public:
  struct Options {
    size_t max_bytes = 0;
    int lanes = 0;
    int unalign = 0;     // elements
    bool plain = false;  // no peer buffers
  };
  static absl::StatusOr<std::unique_ptr<BenchBuffers>> Make(Communicator& comm, const BenchKind& kind,
                                                            const Options& options);

  void Fill(const BenchPoint& point);  // this rank's input; before the first Run or Start at a point
  std::unique_ptr<Work> Start(const BenchPoint& point, const CallOptions& o);  // null where only Run exists
  absl::Status Run(const BenchPoint& point, const CallOptions& o);
  uint64_t CountWrong(const BenchPoint& point) const;  // values of this rank's output

 private:
  BenchBuffers(Communicator& comm, const Options& options) : comm_(comm), options_(options) {}
  absl::StatusOr<std::byte*> Allocate();
  std::byte* At(std::byte* memory, const BenchPoint& p) const {
    return memory + static_cast<size_t>(options_.unalign) * SizeOf(p.dtype);
  }
  ConstBuffer In(const BenchPoint& point) const;
  Buffer Out(const BenchPoint& point) const;
  std::vector<LanePart> Parts(const BenchPoint& point) const;
  absl::Status RunUneven(const BenchPoint& point, const CallOptions& o);

  Communicator& comm_;
  const Options options_;
  std::vector<PeerBuffer> memory_;
  std::byte* in_ = nullptr;
  std::byte* out_ = nullptr;
  std::vector<std::byte*> parts_;  // of reduce_lanes
  // What is handed to the calls at the point filled last: put together before they are timed.
  ConstBuffer in_of_call_;
  Buffer out_of_call_;
  std::vector<LanePart> parts_of_call_;
};

}  // namespace lockstep::comm

#endif  // LOCKSTEP_COMM_BENCH_BENCH_CASE_H_
