#include "comm/bench/comm_bench.h"

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <ctime>
#include <memory>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "comm/bench/bench_case.h"
#include "comm/bench/bench_choice.h"
#include "comm/bench/bench_plot.h"
#include "comm/bench/bench_report.h"
#include "comm/bench/memory_bound.h"
#include "comm/bootstrap.h"
#include "runtime/core/clock.h"
#include "runtime/core/file_system.h"

namespace lockstep::comm {
namespace {

constexpr char kVersion[] = "0.1.0";

double Percentile(std::vector<double> values, double p) {
  std::sort(values.begin(), values.end());
  const auto nearest = static_cast<size_t>(std::ceil(p * static_cast<double>(values.size())));
  return values[std::max<size_t>(nearest, 1) - 1];
}

double Mean(const std::vector<double>& values) {
  double sum = 0;
  for (const double value : values) sum += value;
  return sum / static_cast<double>(values.size());
}

// Standard deviation / mean, in percent.
double Variation(const std::vector<double>& values) {
  const double mean = Mean(values);
  double squares = 0;
  for (const double value : values) squares += (value - mean) * (value - mean);
  return mean > 0 ? 100 * std::sqrt(squares / static_cast<double>(values.size())) / mean : 0;
}

double CpuSeconds() {
  timespec time{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

class Bench {
 public:
  Bench(const CommBenchOptions& options, BenchChoice choice, Communicator& comm)
      : options_(options), choice_(std::move(choice)), comm_(comm) {
    if (options.timeout_seconds > 0) call_.deadline = absl::Seconds(options.timeout_seconds);
    plain_ = call_;
    call_.wire = choice_.wire;
  }

  absl::Status Run(std::ostream& out) {
    const BenchBuffers::Options sizes{choice_.sizes.back(), choice_.lanes, options_.unalign,
                                      options_.plain_buffers};
    ASSIGN_OR_RETURN(buffers_, BenchBuffers::Make(comm_, choice_.kind, sizes));
    ASSIGN_OR_RETURN(const auto ranks, GatherRanks());
    const bool speaks = comm_.rank() == 0;
    if (speaks) PrintHeader(out, options_, kVersion, comm_.Describe(), ranks);
    std::vector<BenchLine> lines;
    for (int cycle = 0; cycle < std::max(1, options_.cycles); ++cycle) {
      for (const std::string& algorithm : choice_.algorithms) {
        if (speaks && choice_.algorithms.size() > 1) out << "# Algorithm: " << algorithm << "\n";
        RETURN_IF_ERROR(Sweep(algorithm, speaks ? &out : nullptr, lines));
      }
    }
    if (speaks) PrintFooter(out, options_, lines);
    if (speaks && !options_.json_file.empty()) {
      RETURN_IF_ERROR(WriteJson(options_, comm_.backend(), ranks, lines));
    }
    if (!options_.plot_file.empty()) RETURN_IF_ERROR(WritePlot(lines));
    const int64_t wrong = TotalWrong(lines);
    if (wrong != 0) return absl::InternalError(absl::StrCat(wrong, " values were wrong"));
    if (FastEnough(options_, lines)) return absl::OkStatus();
    return absl::InternalError(
        absl::StrFormat("the mean bus bandwidth of %.3g GB/s is below 0.9 of the %.3g asked for",
                        MeanBusBandwidth(lines), options_.min_busbw));
  }

 private:
  absl::StatusOr<std::vector<BenchRank>> GatherRanks() {
    char host[256] = "";
    gethostname(host, sizeof host - 1);
    ASSIGN_OR_RETURN(const auto texts, AllGatherText(comm_, absl::StrCat(getpid(), " ", host)));
    std::vector<BenchRank> ranks;
    for (const std::string& text : texts) {
      const size_t cut = text.find(' ');
      BenchRank rank{0, text.substr(cut + 1), "CPU"};
      if (!absl::SimpleAtoi(text.substr(0, cut), &rank.pid)) rank.pid = 0;
      ranks.push_back(rank);
    }
    return ranks;
  }

  absl::Status Sweep(const std::string& algorithm, std::ostream* out, std::vector<BenchLine>& lines) {
    call_.algorithm = algorithm;
    for (const NamedType& type : choice_.types) {
      for (const NamedOp& op : choice_.ops) {
        if (!choice_.CheckCombination(algorithm, type.dtype, op.op, comm_.size()).ok()) continue;  // of "all"
        for (const int root : choice_.roots) {
          for (const size_t bytes : choice_.sizes) {
            ASSIGN_OR_RETURN(BenchLine line, RunSize(type, op, root, bytes));
            line.algorithm = algorithm;
            if (out != nullptr) PrintLine(*out, options_, line);
            lines.push_back(std::move(line));
          }
        }
      }
    }
    return absl::OkStatus();
  }

  absl::StatusOr<BenchLine> RunSize(const NamedType& type, const NamedOp& op, int root, size_t bytes) {
    const BenchKind& kind = choice_.kind;
    const size_t count = CountFor(kind, bytes, type.dtype, comm_.size());
    BenchPoint point{kind, op.op, type.dtype, choice_.wire, std::max(root, 0), choice_.lanes, count, false};
    BenchLine line;
    line.size_bytes = SizeBytes(kind, count, type.dtype, comm_.size());
    line.count = count;
    line.dtype = type.name;
    line.op = kind.reduces ? op.name : "none";
    line.root = root;
    if (options_.timestamps)
      line.time = absl::FormatTime("%Y-%m-%d %H:%M:%S", absl::Now(), absl::LocalTimeZone());
    if (!options_.in_place_only) {
      ASSIGN_OR_RETURN(line.out_of_place, RunHalf(point, line.size_bytes));
    }
    point.in_place = true;
    ASSIGN_OR_RETURN(line.in_place, RunHalf(point, line.size_bytes));
    return line;
  }

  absl::StatusOr<BenchHalf> RunHalf(const BenchPoint& point, size_t size_bytes) {
    const bool fresh = options_.fresh_buffers || options_.verify;
    for (int i = 0; i < options_.warmup; ++i) {
      if (i == 0 || fresh) buffers_->Fill(point);
      RETURN_IF_ERROR(buffers_->Run(point, call_));
    }
    std::vector<double> seconds;
    int64_t wrong = 0;
    if (options_.warmup == 0) buffers_->Fill(point);
    for (int i = 0; i < options_.iterations; ++i) {
      if (fresh) buffers_->Fill(point);
      RETURN_IF_ERROR(comm_.Barrier(plain_));
      const double start = Now();
      RETURN_IF_ERROR(RunTimed(point));
      seconds.push_back((Now() - start) / options_.per_iteration);
      if (options_.verify) wrong += static_cast<int64_t>(buffers_->CountWrong(point));
    }
    BenchHalf half;
    half.measured = true;
    RETURN_IF_ERROR(Summarize(seconds, half));
    half.algbw = half.mean_us > 0 ? static_cast<double>(size_bytes) / half.mean_us / 1e3 : 0;
    half.busbw = half.algbw * choice_.kind.BusFactor(comm_.size());
    if (options_.check > 0 || options_.verify) {
      ASSIGN_OR_RETURN(half.wrong, CountWrong(point, wrong));
    }
    return half;
  }

  double Now() const { return options_.cpu_time ? CpuSeconds() : MonotonicSeconds(); }

  absl::Status Summarize(const std::vector<double>& seconds, BenchHalf& half) {
    const std::vector<double> late(seconds.begin() + options_.skip, seconds.end());
    std::vector<double> us = {Mean(seconds),
                              Percentile(seconds, 0.5),
                              Percentile(seconds, 0.99),
                              *std::min_element(late.begin(), late.end()),
                              *std::max_element(late.begin(), late.end()),
                              Percentile(late, 0.99)};
    for (double& value : us) value *= 1e6;
    us.push_back(Variation(late));
    ASSIGN_OR_RETURN(us, OverRanks(us));
    half.mean_us = us[0];
    half.p50_us = us[1];
    half.p99_us = us[2];
    half.least_us = us[3];
    half.greatest_us = us[4];
    half.late_p99_us = us[5];
    half.variation = us[6];
    return absl::OkStatus();
  }

  absl::Status RunTimed(const BenchPoint& point) {
    if (options_.per_iteration == 1) return buffers_->Run(point, call_);
    std::vector<std::unique_ptr<Work>> works;
    for (int i = 0; i < options_.per_iteration; ++i) {
      auto work = buffers_->Start(point, call_);
      if (work == nullptr) {
        RETURN_IF_ERROR(buffers_->Run(point, call_));
      } else {
        works.push_back(std::move(work));
      }
    }
    for (const auto& work : works) RETURN_IF_ERROR(work->Wait());
    return absl::OkStatus();
  }

  // This rank's figures and the others', each as one.
  absl::StatusOr<std::vector<double>> OverRanks(std::vector<double> mine) {
    const size_t ranks = comm_.size(), figures = mine.size();
    std::vector<double> all(ranks * figures);
    RETURN_IF_ERROR(comm_.AllGather(BufferOf(absl::MakeSpan(mine)), BufferOf(absl::MakeSpan(all)), plain_));
    for (size_t i = 0; i < figures; ++i) {
      std::vector<double> one;
      for (size_t rank = 0; rank < ranks; ++rank) one.push_back(all[rank * figures + i]);
      mine[i] = options_.average == 0   ? one[0]
                : options_.average == 2 ? *std::min_element(one.begin(), one.end())
                : options_.average == 3 ? *std::max_element(one.begin(), one.end())
                                        : Mean(one);
    }
    return mine;
  }

  // Of all ranks: `wrong` so far, and those of the checked iterations.
  absl::StatusOr<int64_t> CountWrong(const BenchPoint& point, int64_t wrong) {
    for (int i = 0; i < options_.check; ++i) {
      buffers_->Fill(point);
      RETURN_IF_ERROR(buffers_->Run(point, call_));
      wrong += static_cast<int64_t>(buffers_->CountWrong(point));
    }
    const Buffer total{&wrong, 1, DType::kI64};
    RETURN_IF_ERROR(comm_.AllReduce(total, total, ReduceOp::kSum, plain_));
    return wrong;
  }

  absl::Status WritePlot(const std::vector<BenchLine>& lines) {
    ASSIGN_OR_RETURN(PlotLine bound, BoundOf());
    if (comm_.rank() != 0) return absl::OkStatus();
    Plot plot;
    plot.title = absl::StrCat(options_.collective, ", ", comm_.Describe());
    plot.subtitle = absl::StrFormat("%s, mean of %d iterations, buffers %s, in place%s", options_.dtype,
                                    options_.iterations,
                                    options_.fresh_buffers ? "rewritten between them" : "not rewritten",
                                    options_.plain_buffers ? ", ordinary memory" : "");
    if (choice_.wire != Wire::kFull) absl::StrAppend(&plot.subtitle, ", wire ", options_.wire);
    plot.lines = PlotLinesOf(lines);
    if (!bound.points.empty()) plot.lines.push_back(std::move(bound));
    return WriteFileAtomically(RealFileSystem(), options_.plot_file, SvgOf(plot));
  }

  // What limits this backend. Shared memory: loads and stores without waiting, for other collectives in
  // proportion to the bytes that they move. Else the links: what two neighbours exchange at the greatest
  // size.
  absl::StatusOr<PlotLine> BoundOf() {
    if (comm_.size() == 1) return PlotLine{};
    if (comm_.backend() != "shm") return LinkBound();
    PlotLine line{"bound: memory", {}, true};
    if (comm_.rank() == 0) {
      ASSIGN_OR_RETURN(MemoryBound memory, MemoryBound::Make(comm_.size(), choice_.sizes.back()));
      const double moved = BenchKind{Collective::kAllReduce, true, false}.MovedPerByte(comm_.size()) /
                           choice_.kind.MovedPerByte(comm_.size());
      for (const size_t bytes : choice_.sizes) {
        const double seconds = memory.MedianSeconds(bytes, 2, options_.iterations);
        line.points.emplace_back(bytes, static_cast<double>(bytes) / seconds / 1e9 * moved);
      }
    }
    RETURN_IF_ERROR(comm_.Barrier(plain_));  // the others leave the cores alone meanwhile
    return line;
  }

  absl::StatusOr<PlotLine> LinkBound() {
    const size_t bytes = std::clamp<size_t>(choice_.sizes.back(), size_t{1} << 20, size_t{64} << 20);
    std::vector<uint8_t> out(bytes, 1), in(bytes);
    std::vector<double> seconds;
    const int ranks = comm_.size(), rank = comm_.rank();
    for (int i = 0; i < 5; ++i) {
      std::fill(out.begin(), out.end(), static_cast<uint8_t>(i));
      RETURN_IF_ERROR(comm_.Barrier(plain_));
      const double start = MonotonicSeconds();
      RETURN_IF_ERROR(comm_.SendRecv(ConstBuffer(out.data(), bytes, DType::kU8), (rank + 1) % ranks,
                                     Buffer{in.data(), bytes, DType::kU8}, (rank + ranks - 1) % ranks,
                                     plain_));
      seconds.push_back(MonotonicSeconds() - start);
    }
    ASSIGN_OR_RETURN(const auto median, OverRanks({Percentile(seconds, 0.5)}));
    const double speed = static_cast<double>(bytes) / median[0] / 1e9 / choice_.kind.BusFactor(ranks);
    PlotLine line{"bound: link", {}, true};
    for (const size_t size : choice_.sizes) line.points.emplace_back(static_cast<double>(size), speed);
    return line;
  }

  const CommBenchOptions& options_;
  const BenchChoice choice_;
  Communicator& comm_;
  CallOptions call_;   // of what is measured
  CallOptions plain_;  // of everything else
  std::unique_ptr<BenchBuffers> buffers_;
};

}  // namespace

absl::Status RunCommBench(const CommBenchOptions& options, Communicator& communicator, std::ostream& out) {
  ASSIGN_OR_RETURN(BenchChoice choice, ChoiceOf(options, communicator.size()));
  if (communicator.rank() == 0) {
    const absl::Status able = CheckOutputFiles(options);
    if (!able.ok()) {
      communicator.Abort(able);  // the others wait already
      return able;
    }
  }
  return Bench(options, std::move(choice), communicator).Run(out);
}

absl::Status RunBoundBench(const CommBenchOptions& options, int ranks, std::ostream& out) {
  ASSIGN_OR_RETURN(const std::vector<size_t> sizes, SizesOf(options));
  if (options.iterations < 1 || options.warmup < 0)
    return ConfigError("the bound needs at least one iteration");
  ASSIGN_OR_RETURN(MemoryBound bound, MemoryBound::Make(ranks, sizes.back()));
  out << absl::StrFormat(
      "# lockstep comm %s: %d threads, the loads and stores of a two-shot all_reduce in place, no waiting\n"
      "# %10s  %12s  %8s  %9s  %7s\n# %10s  %12s  %8s  %9s  %7s\n",
      kVersion, ranks, "size", "count", "type", "p50", "algbw", "(B)", "(elements)", "", "(us)", "(GB/s)");
  for (const size_t bytes : sizes) {
    const double seconds = bound.MedianSeconds(bytes, options.warmup, options.iterations);
    out << absl::StrFormat("%12u  %12u  %8s  %9.2f  %7.2f\n", bytes, bytes / sizeof(float), "float",
                           seconds * 1e6, static_cast<double>(bytes) / seconds / 1e9)
        << std::flush;
  }
  return absl::OkStatus();
}

}  // namespace lockstep::comm
