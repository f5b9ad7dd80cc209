#include "comm/bench/bench_report.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "nlohmann/json.hpp"
#include "runtime/core/file_system.h"

namespace lockstep::comm {
namespace {

// Microseconds in seven characters.
std::string TimeText(double us) { return absl::StrFormat("%.*f", us >= 10000 ? 0 : us >= 1000 ? 1 : 2, us); }

std::string HalfText(const BenchHalf& half) {
  if (!half.measured) return absl::StrFormat("  %7s  %6s  %6s  %6s", "N/A", "N/A", "N/A", "N/A");
  const std::string wrong = half.wrong < 0 ? "N/A" : absl::StrFormat("%d", half.wrong);
  return absl::StrFormat("  %7s  %6.2f  %6.2f  %6s", TimeText(half.mean_us), half.algbw, half.busbw, wrong);
}

std::string TailText(const BenchHalf& half) {
  if (!half.measured) return absl::StrFormat("  %8s  %8s", "N/A", "N/A");
  return absl::StrFormat("  %8s  %8s", TimeText(half.p50_us), TimeText(half.p99_us));
}

std::string IterationsText(const BenchHalf& half) {
  if (!half.measured) return absl::StrFormat("  %7s  %7s  %7s  %6s", "N/A", "N/A", "N/A", "N/A");
  return absl::StrFormat("  %7s  %7s  %7s  %6.1f", TimeText(half.least_us), TimeText(half.greatest_us),
                         TimeText(half.late_p99_us), half.variation);
}

nlohmann::json HalfJson(const BenchHalf& half) {
  if (!half.measured) return nullptr;
  nlohmann::json json{{"time_us", half.mean_us},    {"p50_us", half.p50_us},
                      {"p99_us", half.p99_us},      {"min_us", half.least_us},
                      {"max_us", half.greatest_us}, {"variation_percent", half.variation},
                      {"algbw", half.algbw},        {"busbw", half.busbw}};
  json["wrong"] = half.wrong < 0 ? nlohmann::json(nullptr) : nlohmann::json(half.wrong);
  return json;
}

}  // namespace

void PrintHeader(std::ostream& out, const CommBenchOptions& o, const std::string& version,
                 const std::string& description, const std::vector<BenchRank>& ranks) {
  out << "# lockstep comm " << version << ": " << description << "\n"
      << "# Collective test starting: " << o.collective << "\n";
  const std::string step = o.step_factor > 0 ? absl::StrFormat("%g(factor)", o.step_factor)
                                             : absl::StrFormat("%u(bytes)", o.step_bytes);
  out << absl::StrFormat(
      "# nThread 1 nGpus 0 minBytes %u maxBytes %u step: %s warmup iters: %d iters: %d agg iters: %d "
      "validation: %d graph: 0\n#\n# Using devices\n",
      o.min_bytes, o.max_bytes, step, o.warmup, o.iterations, o.per_iteration, o.check);
  for (size_t rank = 0; rank < ranks.size(); ++rank) {
    out << absl::StrFormat("#  Rank %2d Group  0 Pid %6d on %10s device  - [-] %s\n", static_cast<int>(rank),
                           ranks[rank].pid, ranks[rank].host, ranks[rank].device);
  }
  if (!o.fresh_buffers) out << "#\n# Inputs are not rewritten between iterations: these figures flatter\n";
  if (o.cpu_time) out << "#\n# Times are of computing (this process), not of waiting\n";
  const std::string half = absl::StrFormat("  %7s  %6s  %6s  %6s", "time", "algbw", "busbw", "#wrong");
  const std::string units = absl::StrFormat("  %7s  %6s  %6s  %6s", "(us)", "(GB/s)", "(GB/s)", "");
  const std::string tail = absl::StrFormat("  %8s  %8s", "p50(us)", "p99(us)");
  const std::string each = o.per_iteration_columns
                               ? absl::StrFormat("  %7s  %7s  %7s  %6s", "i_min", "i_max", "i_p99", "i_cv%")
                               : "";
  out << "#\n"
      << absl::StrFormat("# %10s  %12s  %8s  %6s  %6s  %31s  %31s  %18s  %18s\n", "", "", "", "", "",
                         "out-of-place           ", "in-place            ", "out-of-place   ",
                         "in-place     ")
      << absl::StrFormat("# %10s  %12s  %8s  %6s  %6s", "size", "count", "type", "redop", "root") << half
      << half << tail << tail << each << each << (o.timestamps ? "  timestamp" : "") << "\n"
      << absl::StrFormat("# %10s  %12s  %8s  %6s  %6s", "(B)", "(elements)", "", "", "") << units << units
      << "\n";
}

void PrintLine(std::ostream& out, const CommBenchOptions& options, const BenchLine& line) {
  out << absl::StrFormat("%12u  %12u  %8s  %6s  %6d", line.size_bytes, line.count, line.dtype, line.op,
                         line.root)
      << HalfText(line.out_of_place) << HalfText(line.in_place) << TailText(line.out_of_place)
      << TailText(line.in_place);
  if (options.per_iteration_columns)
    out << IterationsText(line.out_of_place) << IterationsText(line.in_place);
  if (!line.time.empty()) out << "  " << line.time;
  out << "\n" << std::flush;
}

int64_t TotalWrong(const std::vector<BenchLine>& lines) {
  int64_t wrong = 0;
  for (const BenchLine& line : lines) {
    wrong += std::max<int64_t>(line.out_of_place.wrong, 0) + std::max<int64_t>(line.in_place.wrong, 0);
  }
  return wrong;
}

double MeanBusBandwidth(const std::vector<BenchLine>& lines) {
  double sum = 0;
  int halves = 0;
  for (const BenchLine& line : lines) {
    for (const BenchHalf* half : {&line.out_of_place, &line.in_place}) {
      if (!half->measured) continue;
      sum += half->busbw;
      ++halves;
    }
  }
  return halves == 0 ? 0 : sum / halves;
}

bool FastEnough(const CommBenchOptions& options, const std::vector<BenchLine>& lines) {
  return MeanBusBandwidth(lines) >= 0.9 * options.min_busbw;
}

void PrintFooter(std::ostream& out, const CommBenchOptions& options, const std::vector<BenchLine>& lines) {
  const int64_t wrong = TotalWrong(lines);
  const char* const speed = options.min_busbw <= 0 ? "" : FastEnough(options, lines) ? " OK" : " FAILED";
  out << absl::StrFormat("# Out of bounds values : %d %s\n", wrong, wrong == 0 ? "OK" : "FAILED")
      << absl::StrFormat("# Avg bus bandwidth    : %g%s\n", MeanBusBandwidth(lines), speed) << "#\n"
      << "# Collective test concluded: " << options.collective << "\n";
}

absl::Status CheckOutputFiles(const CommBenchOptions& options) {
  for (const auto& [flag, path] :
       {std::pair("-J", options.json_file), std::pair("--plot", options.plot_file)}) {
    const std::string folder = ParentFolder(path);
    if (path.empty() || access(folder.c_str(), W_OK | X_OK) == 0) continue;
    return ConfigError(ErrnoText(absl::StrCat(flag, " ", path, ": cannot write into ", folder), errno));
  }
  return absl::OkStatus();
}

absl::Status WriteJson(const CommBenchOptions& options, const std::string& backend,
                       const std::vector<BenchRank>& ranks, const std::vector<BenchLine>& lines) {
  nlohmann::json json;
  json["collective"] = options.collective;
  json["backend"] = backend;
  json["config"] = {{"iters", options.iterations},
                    {"warmup_iters", options.warmup},
                    {"agg_iters", options.per_iteration},
                    {"validation", options.check},
                    {"algorithm", options.algorithm},
                    {"peer_buffers", !options.plain_buffers},
                    {"fresh_buffers", options.fresh_buffers},
                    {"wire", options.wire},
                    {"average", options.average},
                    {"unalign", options.unalign}};
  for (const BenchRank& rank : ranks) {
    json["ranks"].push_back({{"pid", rank.pid}, {"host", rank.host}, {"device", rank.device}});
  }
  for (const BenchLine& line : lines) {
    json["results"].push_back({{"size", line.size_bytes},
                               {"count", line.count},
                               {"type", line.dtype},
                               {"redop", line.op},
                               {"root", line.root},
                               {"algorithm", line.algorithm.empty() ? "auto" : line.algorithm},
                               {"out_of_place", HalfJson(line.out_of_place)},
                               {"in_place", HalfJson(line.in_place)}});
  }
  json["out_of_bounds"] = {{"count", TotalWrong(lines)}, {"okay", TotalWrong(lines) == 0}};
  json["average_bus_bandwidth"] = {{"bandwidth", MeanBusBandwidth(lines)},
                                   {"okay", FastEnough(options, lines)}};
  return WriteFileAtomically(RealFileSystem(), options.json_file,
                             json.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n");
}

std::vector<PlotLine> PlotLinesOf(const std::vector<BenchLine>& lines) {
  const auto differ = [&](const auto& member) {
    return std::any_of(lines.begin(), lines.end(),
                       [&](const BenchLine& line) { return member(line) != member(lines[0]); });
  };
  const bool types = differ([](const BenchLine& line) { return line.dtype; });
  const bool ops = differ([](const BenchLine& line) { return line.op; });
  const bool roots = differ([](const BenchLine& line) { return line.root; });
  std::vector<PlotLine> curves;
  for (const BenchLine& line : lines) {
    std::string name = line.algorithm.empty() ? "auto" : line.algorithm;
    if (types) absl::StrAppend(&name, " ", line.dtype);
    if (ops) absl::StrAppend(&name, " ", line.op);
    if (roots) absl::StrAppend(&name, " root ", line.root);
    auto curve =
        std::find_if(curves.begin(), curves.end(), [&](const PlotLine& c) { return c.name == name; });
    if (curve == curves.end()) curve = curves.insert(curves.end(), {name, {}});
    const BenchHalf& half = line.in_place.measured ? line.in_place : line.out_of_place;
    curve->points.emplace_back(static_cast<double>(line.size_bytes), half.algbw);
  }
  return curves;
}

}  // namespace lockstep::comm
