// What `lockstep comm` prints: nccl-tests' header, columns and footer, with p50 and p99 behind them.
// Internal.
#ifndef LOCKSTEP_COMM_BENCH_BENCH_REPORT_H_
#define LOCKSTEP_COMM_BENCH_BENCH_REPORT_H_

#include <cstdint>
#include <ostream>
#include <string>
#include <vector>

#include "comm/bench/bench_plot.h"
#include "comm/bench/comm_bench.h"

namespace lockstep::comm {

// One half of a line: out-of-place or in-place.
struct BenchHalf {
  bool measured = false;
  double mean_us = 0, p50_us = 0, p99_us = 0;
  double least_us = 0, greatest_us = 0;  // of the iterations
  double late_p99_us = 0;                // p99 without the first iterations ([K])
  double variation = 0;                  // standard deviation / mean of them, percent
  double algbw = 0, busbw = 0;           // GB/s, 1e9 bytes
  int64_t wrong = -1;                    // values over all ranks; -1: not checked
};

struct BenchLine {
  size_t size_bytes = 0, count = 0;
  std::string dtype, op;  // nccl-tests' names; op "none" where nothing is reduced
  std::string algorithm;  // "": the communicator's choice
  int root = -1;
  std::string time;  // when it was measured, where that is asked for
  BenchHalf out_of_place, in_place;
};

// One rank, for the header.
struct BenchRank {
  int pid = 0;
  std::string host, device;
};

void PrintHeader(std::ostream& out, const CommBenchOptions& options, const std::string& version,
                 const std::string& description, const std::vector<BenchRank>& ranks);
void PrintLine(std::ostream& out, const CommBenchOptions& options, const BenchLine& line);
void PrintFooter(std::ostream& out, const CommBenchOptions& options, const std::vector<BenchLine>& lines);
// The sum of wrong values, and the mean of all halves' busbw.
int64_t TotalWrong(const std::vector<BenchLine>& lines);
double MeanBusBandwidth(const std::vector<BenchLine>& lines);
// Whether the mean is what the options ask for at least.
bool FastEnough(const CommBenchOptions& options, const std::vector<BenchLine>& lines);

// Whether the files that the options ask for can be written, as far as their folders tell. Error: ConfigError.
absl::Status CheckOutputFiles(const CommBenchOptions& options);
absl::Status WriteJson(const CommBenchOptions& options, const std::string& backend,
                       const std::vector<BenchRank>& ranks, const std::vector<BenchLine>& lines);

// A curve for each algorithm, type and operation; in place where that was measured.
std::vector<PlotLine> PlotLinesOf(const std::vector<BenchLine>& lines);

}  // namespace lockstep::comm

#endif  // LOCKSTEP_COMM_BENCH_BENCH_REPORT_H_
