// `lockstep comm`: times and checks collectives in the manner of nccl-tests, so that people and scripts that
// read those read these (flags, columns, header and footer: github.com/NVIDIA/nccl-tests, src/common.cu and
// util.cu).
#ifndef LOCKSTEP_COMM_BENCH_COMM_BENCH_H_
#define LOCKSTEP_COMM_BENCH_COMM_BENCH_H_

#include <cstddef>
#include <ostream>
#include <string>
#include <vector>

#include "comm/communicator.h"
#include "runtime/core/status.h"

namespace lockstep::comm {

// The letter in brackets is nccl-tests' flag.
struct CommBenchOptions {
  std::string collective = "all_reduce";  // one of BenchCollectives()
  size_t min_bytes = 32u << 20;           // [b]
  size_t max_bytes = 32u << 20;           // [e]
  size_t step_bytes = 1u << 20;           // [i] added from size to size, unless step_factor is set
  double step_factor = 0;                 // [f] multiplied from size to size; 0: off
  int iterations = 20;                    // [n]
  int warmup = 5;                         // [w]
  int per_iteration = 1;                  // [m] operations timed together, started before any is waited for
  int cycles = 1;                         // [N] times the whole sweep runs
  int check = 1;                          // [c] checked iterations beside the timed ones; 0: "N/A"
  bool verify = false;                    // check the results of all timed iterations too
  std::string op = "sum";                 // [o] sum, prod, min, max, avg, or all
  std::string dtype = "float";  // [d] int8 uint8 int32 uint32 int64 uint64 half float double bfloat16, or all
  int root = 0;                 // [r] -1: all
  int average = 1;              // [a] the time shown: 0 rank 0's, 1 mean, 2 least, 3 greatest over ranks
  double timeout_seconds = 0;   // [T] of one operation; 0: the communicator's deadline
  bool cpu_time = false;        // [C] the time that this process computed, in place of the time that passed
  bool timestamps = false;      // [S] a last column says when the line was measured
  bool per_iteration_columns = false;  // [I] least, greatest, p99 and variation of the iterations
  int skip = 0;                        // [K] first iterations that those columns leave out
  int unalign = 0;                     // [u] elements by which data begins behind an aligned address
  double min_busbw = 0;        // GB/s: a mean bus bandwidth below 0.9 of it is an error; 0: any will do
  std::string json_file;       // [J] results, written by rank 0; "": none
  std::string plot_file;       // algbw over size as SVG, written by rank 0; "": none
  std::string algorithm;       // as CallOptions::algorithm, or "all": each that can do it, in turn
  std::string wire = "full";   // full, bf16, f16
  int lanes = 0;               // of reduce_lanes; 0: the least power of two >= the number of ranks
  bool in_place_only = false;  // leave the out-of-place half away
  bool plain_buffers = false;  // ordinary memory in place of peer buffers
  bool fresh_buffers = true;   // rewrite the input before each iteration (in cache, as a step would)
};

// "all_reduce", "reduce_scatter", "all_gather", "broadcast", "reduce", "gather", "scatter", "all_to_all",
// "send_recv", "reduce_lanes", and the v-forms "reduce_scatter_v", "all_gather_v", "gather_v", "scatter_v",
// "all_to_all_v", whose parts have different lengths.
const std::vector<std::string>& BenchCollectives();

// "32M" -> 33554432; K, M, G are powers of 1024. Error: ConfigError.
absl::StatusOr<size_t> ParseSize(absl::string_view text);

// Collective; only rank 0 writes to `out`. Every value is checked against its exactly known result. Errors,
// on every rank: ConfigError for unknown names (listing the known ones) and files that cannot be written, before
// anything runs; an Internal
// error when values were wrong or the bandwidth too low, after the whole table is printed; the
// communicator's.
absl::Status RunCommBench(const CommBenchOptions& options, Communicator& communicator, std::ostream& out);

// `lockstep comm bound`: for each size of the sweep the speed at which `ranks` pinned threads do the loads
// and stores of a two-shot all_reduce of floats over peer buffers without waiting for each other: what the
// machine gives (comm/bench/memory_bound.h). One process; no communicator.
absl::Status RunBoundBench(const CommBenchOptions& options, int ranks, std::ostream& out);

}  // namespace lockstep::comm

#endif  // LOCKSTEP_COMM_BENCH_COMM_BENCH_H_
