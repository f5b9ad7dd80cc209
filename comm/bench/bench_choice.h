// What the options of the benchmark mean: the points of its sweep, checked before any rank waits for another.
// Internal to comm/bench.
#ifndef LOCKSTEP_COMM_BENCH_BENCH_CHOICE_H_
#define LOCKSTEP_COMM_BENCH_BENCH_CHOICE_H_

#include <string>
#include <vector>

#include "comm/bench/bench_case.h"
#include "comm/bench/comm_bench.h"

namespace lockstep::comm {

struct NamedType {
  const char* name;  // nccl-tests'
  DType dtype;
};
struct NamedOp {
  const char* name;
  ReduceOp op;
};

struct BenchChoice {
  BenchKind kind{};
  std::vector<NamedType> types;
  std::vector<NamedOp> ops;             // one, of no meaning, where nothing is reduced
  std::vector<int> roots;               // -1 where there is none
  std::vector<std::string> algorithms;  // as CallOptions::algorithm; several with "all"
  std::vector<size_t> sizes;            // bytes
  Wire wire = Wire::kFull;
  int lanes = 0;  // of reduce_lanes

  // Whether `algorithm` can reduce that type; with "all" those that cannot are left out.
  absl::Status CheckCombination(const std::string& algorithm, DType dtype, ReduceOp op, int ranks) const;
};

// Error: ConfigError, the same on every rank that has the same options.
absl::StatusOr<BenchChoice> ChoiceOf(const CommBenchOptions& options, int ranks);
// min_bytes .. max_bytes by the options' steps. Error: ConfigError.
absl::StatusOr<std::vector<size_t>> SizesOf(const CommBenchOptions& options);

}  // namespace lockstep::comm

#endif  // LOCKSTEP_COMM_BENCH_BENCH_CHOICE_H_
