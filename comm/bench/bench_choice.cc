#include "comm/bench/bench_choice.h"

#include <algorithm>
#include <iterator>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "comm/plan/cost_model.h"

namespace lockstep::comm {
namespace {

constexpr NamedType kTypes[] = {{"int8", DType::kI8},      {"uint8", DType::kU8},  {"int32", DType::kI32},
                                {"uint32", DType::kU32},   {"int64", DType::kI64}, {"uint64", DType::kU64},
                                {"half", DType::kF16},     {"float", DType::kF32}, {"double", DType::kF64},
                                {"bfloat16", DType::kBF16}};
constexpr NamedOp kOps[] = {{"sum", ReduceOp::kSum},
                            {"prod", ReduceOp::kProd},
                            {"min", ReduceOp::kMin},
                            {"max", ReduceOp::kMax},
                            {"avg", ReduceOp::kAvg}};
struct NamedWire {
  const char* name;
  Wire wire;
};
constexpr NamedWire kWires[] = {{"full", Wire::kFull}, {"bf16", Wire::kBF16}, {"f16", Wire::kF16}};

// The entry of `all` that `name` means.
template <typename Named, size_t N>
absl::StatusOr<Named> Find(const char* what, const Named (&all)[N], const std::string& name,
                           const char* also = "") {
  std::vector<std::string> known;
  for (const Named& one : all) {
    if (name == one.name) return one;
    known.push_back(one.name);
  }
  return ConfigError(
      absl::StrCat("there is no ", what, " '", name, "'; known: ", absl::StrJoin(known, ", "), also));
}

template <typename Named, size_t N>
absl::StatusOr<std::vector<Named>> FindAll(const char* what, const Named (&all)[N], const std::string& name) {
  if (name == "all") return std::vector<Named>(std::begin(all), std::end(all));
  ASSIGN_OR_RETURN(const Named one, Find(what, all, name, ", all"));
  return std::vector<Named>{one};
}

absl::Status CheckNumbers(const CommBenchOptions& o) {
  const struct {
    bool good;
    const char* flag;
    int value;
    const char* wanted;
  } rules[] = {
      {o.iterations >= 1, "-n", o.iterations, "at least one iteration"},
      {o.warmup >= 0, "-w", o.warmup, "0 iterations or more"},
      {o.per_iteration >= 1, "-m", o.per_iteration, "at least one operation in an iteration"},
      {o.check >= 0, "-c", o.check, "0 iterations or more"},
      {o.average >= 0 && o.average <= 3, "-a", o.average, "0 to 3"},
      {o.skip >= 0 && o.skip < o.iterations, "-K", o.skip, "fewer iterations than -n"},
      {o.unalign >= 0 && o.unalign <= 64, "-u", o.unalign, "0 to 64 elements"},
  };
  for (const auto& rule : rules) {
    if (!rule.good) return ConfigError(absl::StrCat(rule.flag, " ", rule.value, ": it takes ", rule.wanted));
  }
  if (!(o.min_busbw >= 0)) return ConfigError("--min-busbw: it takes 0 GB/s or more");
  if (o.verify && o.per_iteration > 1) {
    return ConfigError(
        "verifying every timed iteration needs one operation in each (-m 1): a second one would find its "
        "input overwritten");
  }
  return absl::OkStatus();
}

absl::Status ChooseLanes(const CommBenchOptions& options, int ranks, BenchChoice& choice) {
  choice.lanes = options.lanes;
  if (choice.lanes == 0) {
    for (choice.lanes = 1; choice.lanes < ranks;) choice.lanes *= 2;
  }
  if (choice.lanes < ranks || choice.lanes > (1 << 20)) {
    return ConfigError(absl::StrCat(choice.lanes, " lanes do not go with ", ranks, " ranks"));
  }
  for (const NamedOp& one : choice.ops) {
    if (one.op != ReduceOp::kSum) return ConfigError("reduce_lanes only sums");
  }
  for (const NamedType& one : choice.types) {
    if (one.dtype != DType::kF32 && one.dtype != DType::kF64) {
      return ConfigError("reduce_lanes takes float or double");
    }
  }
  return absl::OkStatus();
}

absl::Status CheckWire(const BenchChoice& choice) {
  if (choice.wire == Wire::kFull) return absl::OkStatus();
  bool fits =
      choice.kind.collective == Collective::kAllReduce || choice.kind.collective == Collective::kReduceLanes;
  for (const NamedType& one : choice.types) fits = fits && one.dtype == DType::kF32;
  for (const NamedOp& one : choice.ops) fits = fits && (one.op == ReduceOp::kSum || one.op == ReduceOp::kAvg);
  if (fits) return absl::OkStatus();
  return ConfigError(absl::StrCat("a wire of ", NameOf(choice.wire),
                                  " is for sums and averages of float by all_reduce and reduce_lanes"));
}

// "all": the backend's own choice, and each algorithm by name that can do it in one type at least.
absl::Status ChooseAlgorithms(const CommBenchOptions& options, int ranks, BenchChoice& choice) {
  if (options.algorithm != "all") {
    RETURN_IF_ERROR(AlgorithmFromName(options.algorithm).status());
    choice.algorithms = {options.algorithm};
    for (const NamedType& type : choice.types) {
      for (const NamedOp& op : choice.ops) {
        const absl::Status able = choice.CheckCombination(options.algorithm, type.dtype, op.op, ranks);
        if (!able.ok()) return ConfigError(able.message());
      }
    }
    return absl::OkStatus();
  }
  for (const std::string& name : AlgorithmNames()) {
    const bool able = std::any_of(choice.types.begin(), choice.types.end(), [&](const NamedType& type) {
      return choice.CheckCombination(name, type.dtype, choice.ops[0].op, ranks).ok();
    });
    if (able) choice.algorithms.push_back(name);
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status BenchChoice::CheckCombination(const std::string& name, DType dtype, ReduceOp op,
                                           int ranks) const {
  ASSIGN_OR_RETURN(const Algorithm algorithm, AlgorithmFromName(name));
  Call call;
  call.kind = kind.collective;
  call.op = op;
  call.wire = wire;
  call.lanes = lanes;
  call.in.dtype = call.out.dtype = dtype;
  if (kind.uneven) call.counts.assign(ranks, 1);
  return CheckAlgorithm(call, algorithm, ranks);
}

absl::StatusOr<std::vector<size_t>> SizesOf(const CommBenchOptions& o) {
  if (o.min_bytes < 1 || o.max_bytes < o.min_bytes || (o.step_factor != 0 && !(o.step_factor > 1)) ||
      (o.step_factor == 0 && o.step_bytes == 0)) {
    return ConfigError(absl::StrCat("no sizes from -b ", o.min_bytes, " to -e ", o.max_bytes, " bytes (-f ",
                                    o.step_factor, ", -i ", o.step_bytes,
                                    "): it takes 1 <= b <= e, and a factor f above 1 or a step i above 0"));
  }
  std::vector<size_t> sizes;
  for (double bytes = static_cast<double>(o.min_bytes); bytes <= static_cast<double>(o.max_bytes);
       bytes = o.step_factor > 0 ? bytes * o.step_factor : bytes + static_cast<double>(o.step_bytes)) {
    sizes.push_back(static_cast<size_t>(bytes));
    if (sizes.size() > 1'000'000) return ConfigError("the sweep has more than a million sizes");
  }
  return sizes;
}

absl::StatusOr<BenchChoice> ChoiceOf(const CommBenchOptions& options, int ranks) {
  BenchChoice choice;
  ASSIGN_OR_RETURN(choice.kind, BenchKindFromName(options.collective));
  ASSIGN_OR_RETURN(choice.types, FindAll("data type", kTypes, options.dtype));
  ASSIGN_OR_RETURN(choice.ops, FindAll("operation", kOps, options.op));
  ASSIGN_OR_RETURN(const NamedWire wire, Find("wire format", kWires, options.wire));
  choice.wire = wire.wire;
  if (!choice.kind.reduces) choice.ops.resize(1);
  RETURN_IF_ERROR(CheckNumbers(options));
  if (choice.kind.collective == Collective::kReduceLanes)
    RETURN_IF_ERROR(ChooseLanes(options, ranks, choice));
  RETURN_IF_ERROR(CheckWire(choice));
  RETURN_IF_ERROR(ChooseAlgorithms(options, ranks, choice));
  if (options.root < -1 || options.root >= ranks) {
    return ConfigError(absl::StrCat("root ", options.root, " is not a rank of 0..", ranks - 1));
  }
  choice.roots = {choice.kind.rooted ? options.root : -1};
  if (choice.kind.rooted && options.root < 0) {
    choice.roots.clear();
    for (int root = 0; root < ranks; ++root) choice.roots.push_back(root);
  }
  ASSIGN_OR_RETURN(choice.sizes, SizesOf(options));
  return choice;
}

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

}  // namespace lockstep::comm
