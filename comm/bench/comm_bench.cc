#include "comm/bench/comm_bench.h"

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <memory>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "comm/bench/bench_case.h"
#include "comm/bench/bench_report.h"
#include "comm/bootstrap.h"
#include "runtime/core/clock.h"

namespace lockstep::comm {
namespace {

constexpr char kVersion[] = "0.1.0";

struct NamedType {
  const char* name;
  DType dtype;
};
constexpr NamedType kTypes[] = {{"int8", DType::kI8},      {"uint8", DType::kU8},  {"int32", DType::kI32},
                                {"uint32", DType::kU32},   {"int64", DType::kI64}, {"uint64", DType::kU64},
                                {"half", DType::kF16},     {"float", DType::kF32}, {"double", DType::kF64},
                                {"bfloat16", DType::kBF16}};
struct NamedOp {
  const char* name;
  ReduceOp op;
};
constexpr NamedOp kOps[] = {{"sum", ReduceOp::kSum},
                            {"prod", ReduceOp::kProd},
                            {"min", ReduceOp::kMin},
                            {"max", ReduceOp::kMax},
                            {"avg", ReduceOp::kAvg}};

// The entries of `all` that `name` means: one, or every one for "all".
template <typename Named, size_t N>
absl::StatusOr<std::vector<Named>> Choose(const char* what, const Named (&all)[N], const std::string& name) {
  std::vector<std::string> known;
  for (const Named& one : all) {
    if (name == one.name) return std::vector<Named>{one};
    known.push_back(one.name);
  }
  if (name == "all") return std::vector<Named>(std::begin(all), std::end(all));
  return ConfigError(
      absl::StrCat("there is no ", what, " '", name, "'; known: ", absl::StrJoin(known, ", "), ", all"));
}

double Percentile(std::vector<double>& values, double p) {
  std::sort(values.begin(), values.end());
  return values[std::min(values.size() - 1,
                         static_cast<size_t>(std::ceil(p * static_cast<double>(values.size()))))];
}

class Bench {
 public:
  Bench(const CommBenchOptions& options, Communicator& comm) : options_(options), comm_(comm) {
    call_.algorithm = options.algorithm;
    if (options.timeout_seconds > 0) call_.deadline = absl::Seconds(options.timeout_seconds);
  }

  // Everything that can be wrong with the options, before any rank waits for another.
  absl::Status Check() {
    ASSIGN_OR_RETURN(kind_, BenchKindFromName(options_.collective));
    ASSIGN_OR_RETURN(types_, Choose("data type", kTypes, options_.dtype));
    ASSIGN_OR_RETURN(ops_, Choose("operation", kOps, options_.op));
    ASSIGN_OR_RETURN(const Algorithm algorithm, AlgorithmFromName(options_.algorithm));
    const bool lanes = kind_.collective == Collective::kReduceLanes;
    if (algorithm != Algorithm::kAuto && kind_.collective != Collective::kAllReduce && !lanes) {
      return ConfigError(absl::StrCat(options_.collective, " has one algorithm only; leave --algo away"));
    }
    if (!kind_.reduces) ops_.resize(1);
    if (lanes) RETURN_IF_ERROR(CheckLanes(algorithm));
    if (options_.root < -1 || options_.root >= comm_.size()) {
      return ConfigError(absl::StrCat("root ", options_.root, " is not a rank of 0..", comm_.size() - 1));
    }
    if (options_.iterations < 1 || options_.warmup < 0 || options_.per_iteration < 1 || options_.check < 0 ||
        options_.average < 0 || options_.average > 3 || options_.min_bytes < 1 ||
        options_.max_bytes < options_.min_bytes || (options_.step_factor != 0 && options_.step_factor <= 1) ||
        (options_.step_factor == 0 && options_.step_bytes == 0)) {
      return ConfigError(
          "the sweep makes no sense: it needs 1 <= min <= max bytes, a factor above 1 or a step above 0 "
          "bytes, at least one iteration, and an average of 0..3");
    }
    return absl::OkStatus();
  }

  absl::Status Run(std::ostream& out) {
    ASSIGN_OR_RETURN(buffers_,
                     BenchBuffers::Make(comm_, kind_, lanes_, options_.max_bytes, options_.plain_buffers));
    ASSIGN_OR_RETURN(const auto ranks, GatherRanks());
    const bool speaks = comm_.rank() == 0;
    if (speaks) PrintHeader(out, options_, kVersion, comm_.Describe(), ranks);
    std::vector<BenchLine> lines;
    for (int cycle = 0; cycle < std::max(1, options_.cycles); ++cycle) {
      RETURN_IF_ERROR(Sweep(speaks ? &out : nullptr, lines));
    }
    if (speaks) PrintFooter(out, options_, lines);
    if (speaks && !options_.json_file.empty()) {
      RETURN_IF_ERROR(WriteJson(options_, comm_.backend(), ranks, lines));
    }
    const int64_t wrong = TotalWrong(lines);
    return wrong == 0 ? absl::OkStatus() : absl::InternalError(absl::StrCat(wrong, " values were wrong"));
  }

 private:
  absl::Status CheckLanes(Algorithm algorithm) {
    if (algorithm == Algorithm::kRing) {
      return ConfigError(
          "reduce_lanes adds in the lane tree's order, which a ring cannot; use one_shot or two_shot");
    }
    lanes_ = options_.lanes;
    if (lanes_ == 0) {
      for (lanes_ = 1; lanes_ < comm_.size();) lanes_ *= 2;
    }
    if (lanes_ < comm_.size() || lanes_ > (1 << 20)) {
      return ConfigError(absl::StrCat(lanes_, " lanes do not go with ", comm_.size(), " ranks"));
    }
    for (const NamedOp& one : ops_) {
      if (one.op != ReduceOp::kSum) return ConfigError("reduce_lanes only sums");
    }
    for (const NamedType& one : types_) {
      if (one.dtype != DType::kF32 && one.dtype != DType::kF64) {
        return ConfigError("reduce_lanes takes float or double");
      }
    }
    return absl::OkStatus();
  }

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

  absl::Status Sweep(std::ostream* out, std::vector<BenchLine>& lines) {
    std::vector<int> roots{options_.root};
    if (!kind_.rooted) roots = {-1};
    if (kind_.rooted && options_.root < 0) {
      roots.clear();
      for (int root = 0; root < comm_.size(); ++root) roots.push_back(root);
    }
    for (const NamedType& type : types_) {
      for (const NamedOp& op : ops_) {
        for (int root : roots) {
          for (double bytes = static_cast<double>(options_.min_bytes);
               bytes <= static_cast<double>(options_.max_bytes);
               bytes = options_.step_factor > 0 ? bytes * options_.step_factor
                                                : bytes + static_cast<double>(options_.step_bytes)) {
            ASSIGN_OR_RETURN(BenchLine line, RunSize(type, op, root, static_cast<size_t>(bytes)));
            if (out != nullptr) PrintLine(*out, line);
            lines.push_back(std::move(line));
          }
        }
      }
    }
    return absl::OkStatus();
  }

  absl::StatusOr<BenchLine> RunSize(const NamedType& type, const NamedOp& op, int root, size_t bytes) {
    const size_t count = CountFor(kind_, bytes, type.dtype, comm_.size());
    BenchPoint point{kind_, op.op, type.dtype, std::max(root, 0), lanes_, count, false};
    BenchLine line;
    line.size_bytes = SizeBytes(kind_, count, type.dtype, comm_.size());
    line.count = count;
    line.dtype = type.name;
    line.op = kind_.reduces ? op.name : "none";
    line.root = root;
    ASSIGN_OR_RETURN(line.out_of_place, RunHalf(point, line.size_bytes));
    point.in_place = true;
    ASSIGN_OR_RETURN(line.in_place, RunHalf(point, line.size_bytes));
    return line;
  }

  absl::StatusOr<BenchHalf> RunHalf(const BenchPoint& point, size_t size_bytes) {
    for (int i = 0; i < options_.warmup; ++i) {
      if (i == 0 || options_.fresh_buffers) buffers_->Fill(point);
      RETURN_IF_ERROR(buffers_->Run(point, call_));
    }
    std::vector<double> seconds;
    if (options_.warmup == 0) buffers_->Fill(point);
    for (int i = 0; i < options_.iterations; ++i) {
      if (options_.fresh_buffers) buffers_->Fill(point);
      CallOptions barrier;  // which has no algorithms to choose from
      barrier.deadline = call_.deadline;
      RETURN_IF_ERROR(comm_.Barrier(barrier));
      const double start = MonotonicSeconds();
      RETURN_IF_ERROR(RunTimed(point));
      seconds.push_back((MonotonicSeconds() - start) / options_.per_iteration);
    }
    BenchHalf half;
    double mean = 0;
    for (double s : seconds) mean += s / static_cast<double>(seconds.size());
    ASSIGN_OR_RETURN(half.mean_us, OverRanks(mean * 1e6));
    ASSIGN_OR_RETURN(half.p50_us, OverRanks(Percentile(seconds, 0.5) * 1e6));
    ASSIGN_OR_RETURN(half.p99_us, OverRanks(Percentile(seconds, 0.99) * 1e6));
    half.algbw = half.mean_us > 0 ? static_cast<double>(size_bytes) / half.mean_us / 1e3 : 0;
    half.busbw = half.algbw * kind_.BusFactor(comm_.size());
    if (options_.check > 0) {
      ASSIGN_OR_RETURN(half.wrong, CountWrong(point));
    }
    return half;
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

  // This rank's figure and the others', as one.
  absl::StatusOr<double> OverRanks(double mine) {
    std::vector<double> all(comm_.size());
    RETURN_IF_ERROR(comm_.AllGather(
        ConstBuffer(&mine, 1, DType::kF64), BufferOf(absl::MakeSpan(all)),
        call_.deadline > absl::ZeroDuration() ? CallOptions{call_.deadline, ""} : CallOptions{}));
    if (options_.average == 0) return all[0];
    if (options_.average == 2) return *std::min_element(all.begin(), all.end());
    if (options_.average == 3) return *std::max_element(all.begin(), all.end());
    double sum = 0;
    for (double value : all) sum += value;
    return sum / comm_.size();
  }

  absl::StatusOr<int64_t> CountWrong(const BenchPoint& point) {
    int64_t wrong = 0;
    for (int i = 0; i < options_.check; ++i) {
      buffers_->Fill(point);
      RETURN_IF_ERROR(buffers_->Run(point, call_));
      wrong += static_cast<int64_t>(buffers_->CountWrong(point));
    }
    const Buffer total{&wrong, 1, DType::kI64};
    RETURN_IF_ERROR(comm_.AllReduce(total, total, ReduceOp::kSum));
    return wrong;
  }

  const CommBenchOptions& options_;
  Communicator& comm_;
  CallOptions call_;
  BenchKind kind_{};
  std::vector<NamedType> types_;
  std::vector<NamedOp> ops_;
  int lanes_ = 0;
  std::unique_ptr<BenchBuffers> buffers_;
};

}  // namespace

absl::StatusOr<size_t> ParseSize(absl::string_view text) {
  const absl::string_view whole = text;
  size_t factor = 1;
  if (!text.empty()) {
    const char unit = absl::ascii_toupper(text.back());
    if (unit == 'K') factor = size_t{1} << 10;
    if (unit == 'M') factor = size_t{1} << 20;
    if (unit == 'G') factor = size_t{1} << 30;
    if (factor != 1) text.remove_suffix(1);
  }
  double value = 0;
  if (!absl::SimpleAtod(text, &value) || !(value >= 0) || value * static_cast<double>(factor) > 1e15) {
    return ConfigError(absl::StrCat("'", whole, "' is no size; write bytes, or a number with K, M or G"));
  }
  return static_cast<size_t>(value * static_cast<double>(factor));
}

absl::Status RunCommBench(const CommBenchOptions& options, Communicator& communicator, std::ostream& out) {
  Bench bench(options, communicator);
  RETURN_IF_ERROR(bench.Check());
  return bench.Run(out);
}

}  // namespace lockstep::comm
