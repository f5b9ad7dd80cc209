#include "comm/plan/cost_model.h"

#include <algorithm>
#include <bit>
#include <numeric>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"

namespace lockstep::comm {
namespace {

bool IsPowerOfTwo(int value) { return std::has_single_bit(static_cast<unsigned>(value)); }

// Algorithms that add rank by rank would round 16-bit floats at every hop.
bool AddsInOneGo(const Call& call) { return call.dtype() == DType::kF16 || call.dtype() == DType::kBF16; }

double Log2(int size) { return std::bit_width(static_cast<unsigned>(size - 1)); }

// About how many parts a rank's lanes are. Not the own number, since ranks have different ones and all must
// choose the same.
double LanePartsOfRank(int lanes, int size) {
  if (size >= lanes || (IsPowerOfTwo(size) && IsPowerOfTwo(lanes))) return 1;
  return std::max<double>(1, std::bit_width(static_cast<unsigned>(lanes / size)));
}

// Bytes that one rank puts in: of all its lane parts together.
double BytesOfRank(const Call& call, int size) {
  const size_t element = SizeOf(call.dtype());
  switch (call.kind) {
    case Collective::kReduceLanes:
      return static_cast<double>(call.out.count * element) * LanePartsOfRank(call.lanes, size);
    case Collective::kReduceScatter:
      if (call.lanes > 0) {
        const size_t whole = std::accumulate(call.counts.begin(), call.counts.end(), size_t{0});
        return static_cast<double>(whole * element) * LanePartsOfRank(call.lanes, size);
      }
      [[fallthrough]];
    case Collective::kBroadcast:
    case Collective::kAllGather:
      return static_cast<double>(std::max(call.in.count, call.out.count) * element);
    default:
      return static_cast<double>(call.in.count * element);
  }
}

struct Terms {
  double steps = 0;     // that wait for each other
  double messages = 0;  // beyond the first of each step
  double bytes = 0;     // through the busiest rank, one way
  double reduced = 0;   // bytes added
};

// n: bytes of the whole array of a rank.
Terms TermsOf(Collective kind, Algorithm algorithm, double n, int size) {
  const double p = size, rest = p - 1, log = Log2(size), share = n * rest / p;
  const bool reduces = kind != Collective::kBroadcast && kind != Collective::kAllGather;
  switch (algorithm) {
    case Algorithm::kOneShot:
      if (kind == Collective::kReduceScatter) return {1, rest - 1, share, share};
      if (kind == Collective::kAllGather) return {1, rest - 1, share, 0};
      return {1, rest - 1, n * rest, reduces ? n * rest : 0};
    case Algorithm::kTwoShot:
      return {2, 2 * (rest - 1), 2 * share, reduces ? share : 0};
    case Algorithm::kRing:
      if (kind == Collective::kReduceScatter) return {rest, 0, share, share};
      if (kind == Collective::kAllGather) return {rest, 0, share, 0};
      if (kind == Collective::kBroadcast) return {rest + 1, 0, n, 0};
      return {2 * rest, 0, 2 * share, share};
    case Algorithm::kHalvingDoubling: {
      const double fold = IsPowerOfTwo(size) ? 0 : 2;
      return {2 * std::bit_width(static_cast<unsigned>(size)) - 2 + fold, 0, 2 * share + fold * n,
              share + fold / 2 * n};
    }
    case Algorithm::kTree:
      if (kind == Collective::kAllReduce) return {2 * log, 0, 2 * log * n, log * n};
      return {log, 0, log * n, reduces ? log * n : 0};
    case Algorithm::kAuto:
      break;
  }
  return {};
}

}  // namespace

std::vector<Algorithm> AlgorithmsFor(const Call& call, int size) {
  std::vector<Algorithm> able;
  const bool whole = AddsInOneGo(call), packed = call.wire != Wire::kFull;
  switch (call.kind) {
    case Collective::kAllReduce:
      able = {Algorithm::kOneShot, Algorithm::kTwoShot};
      if (!whole && !packed)
        able.insert(able.end(), {Algorithm::kRing, Algorithm::kHalvingDoubling, Algorithm::kTree});
      return able;
    case Collective::kReduceLanes:
      able = {Algorithm::kOneShot, Algorithm::kTwoShot};
      if (!packed && IsPowerOfTwo(size) && IsPowerOfTwo(call.lanes) && call.lane_bounds.empty())
        able.push_back(Algorithm::kHalvingDoubling);
      return able;
    case Collective::kBroadcast:
      return {Algorithm::kOneShot, Algorithm::kTwoShot, Algorithm::kRing, Algorithm::kTree};
    case Collective::kReduce:
      able = {Algorithm::kTwoShot};
      if (!whole) able.push_back(Algorithm::kTree);
      return able;
    case Collective::kReduceScatter:
      able = {Algorithm::kOneShot};
      if (!whole && call.lanes == 0) able.push_back(Algorithm::kRing);
      return able;
    case Collective::kAllGather:
      return {Algorithm::kOneShot, Algorithm::kRing};
    default:
      return {Algorithm::kAuto};
  }
}

absl::Status CheckAlgorithm(const Call& call, Algorithm algorithm, int size) {
  if (algorithm == Algorithm::kAuto) return absl::OkStatus();
  const std::vector<Algorithm> able = AlgorithmsFor(call, size);
  if (std::find(able.begin(), able.end(), algorithm) != able.end()) return absl::OkStatus();
  if (able.front() == Algorithm::kAuto) {
    return absl::InvalidArgumentError(absl::StrCat(NameOf(call.kind), " has one algorithm only, so '",
                                                   NameOf(algorithm), "' cannot be asked for"));
  }
  std::string why;
  if (call.lanes > 0) {
    why = algorithm == Algorithm::kHalvingDoubling
              ? "follows the lane tree only where ranks and lanes are powers of two, and at full width"
              : "adds in its own order, not in the lane tree's";
  } else if (AddsInOneGo(call)) {
    why = "would round 16-bit floats at every hop";
  } else if (call.wire != Wire::kFull) {
    why = "does not pack what it sends";
  } else {
    why = "does not do that";
  }
  return absl::InvalidArgumentError(absl::StrCat(
      NameOf(call.kind), " by '", NameOf(algorithm), "', which ", why, "; use ",
      absl::StrJoin(able, ", ", [](std::string* out, Algorithm a) { absl::StrAppend(out, NameOf(a)); })));
}

double PredictSeconds(const Call& call, Algorithm algorithm, int size, const CostModel& model) {
  const Terms terms = TermsOf(call.kind, algorithm, BytesOfRank(call, size), size);
  const double width = call.wire == Wire::kFull || algorithm == Algorithm::kOneShot ? 1 : 0.5;
  return terms.steps * model.latency + terms.messages * model.message_seconds +
         terms.bytes * width * model.seconds_per_byte + terms.reduced * model.reduce_seconds_per_byte;
}

Algorithm ChooseAlgorithm(const Call& call, int size, const CostModel& model) {
  const std::vector<Algorithm> able = AlgorithmsFor(call, size);
  return *std::min_element(able.begin(), able.end(), [&](Algorithm a, Algorithm b) {
    return PredictSeconds(call, a, size, model) < PredictSeconds(call, b, size, model);
  });
}

std::string DescribeChoices(int size, const CostModel& model) {
  std::string text = absl::StrCat("cost model: ", CostModelText(model), "\n");
  for (const Collective kind : {Collective::kAllReduce, Collective::kReduceLanes, Collective::kReduceScatter,
                                Collective::kAllGather, Collective::kBroadcast, Collective::kReduce}) {
    Call call;
    call.kind = kind;
    // Lanes would make another reduce_scatter of it.
    if (kind == Collective::kReduceLanes)
      call.lanes = static_cast<int>(std::bit_ceil(static_cast<unsigned>(size)));
    std::vector<std::string> ranges;
    Algorithm before = Algorithm::kAuto;
    for (size_t bytes = 8; bytes <= size_t{1} << 30; bytes *= 2) {
      call.in.count = call.out.count = bytes / sizeof(float);
      const Algorithm now = ChooseAlgorithm(call, size, model);
      if (now == before) continue;
      ranges.push_back(absl::StrCat(NameOf(now), bytes == 8 ? "" : absl::StrCat(" from ", bytes, " bytes")));
      before = now;
    }
    absl::StrAppend(&text, "  ", NameOf(kind), ": ", absl::StrJoin(ranges, ", "), "\n");
  }
  return text;
}

std::string CostModelText(const CostModel& model) {
  return absl::StrFormat("latency_us %.4g message_us %.4g ns_per_byte %.4g reduce_ns_per_byte %.4g",
                         model.latency * 1e6, model.message_seconds * 1e6, model.seconds_per_byte * 1e9,
                         model.reduce_seconds_per_byte * 1e9);
}

absl::StatusOr<CostModel> CostModelFromText(absl::string_view text) {
  CostModel model;
  const std::pair<absl::string_view, std::pair<double*, double>> fields[] = {
      {"latency_us", {&model.latency, 1e-6}},
      {"message_us", {&model.message_seconds, 1e-6}},
      {"ns_per_byte", {&model.seconds_per_byte, 1e-9}},
      {"reduce_ns_per_byte", {&model.reduce_seconds_per_byte, 1e-9}}};
  const std::vector<absl::string_view> words =
      absl::StrSplit(text, absl::ByAnyChar(" \t\r\n"), absl::SkipEmpty());
  if (words.size() != 2 * std::size(fields)) {
    return ConfigError(absl::StrCat("a cost model is four names with a number each, as \"", CostModelText({}),
                                    "\"; found ", words.size(), " words"));
  }
  for (size_t i = 0; i < std::size(fields); ++i) {
    double value = 0;
    if (words[2 * i] != fields[i].first) {
      return ConfigError(
          absl::StrCat("cost model: '", words[2 * i], "' where '", fields[i].first, "' must be"));
    }
    if (!absl::SimpleAtod(words[2 * i + 1], &value) || !(value >= 0) || value > 1e12) {
      return ConfigError(absl::StrCat("cost model: ", fields[i].first, " '", words[2 * i + 1],
                                      "' must be a number of at least 0"));
    }
    *fields[i].second.first = value * fields[i].second.second;
  }
  return model;
}

}  // namespace lockstep::comm
