#include "runtime/train/banner.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace lockstep::train {
namespace {

constexpr double kGoodEfficiency = 0.9;  // above it nobody is bothered with advice

int CeilDivide(int a, int b) { return (a + b - 1) / b; }

std::string Plural(int count, const char* noun) {
  return absl::StrCat(count, " ", noun, count == 1 ? "" : "s");
}

std::string Percent(double share) { return absl::StrCat(static_cast<int>(std::lround(100 * share)), " %"); }

// "4 a rank", or "2 to 3 a rank" where lanes do not divide.
std::string LanesOfARank(int lanes, int ranks) {
  const int least = lanes / ranks, most = CeilDivide(lanes, ranks);
  return least == most ? absl::StrCat(most, " a rank") : absl::StrCat(least, " to ", most, " a rank");
}

// The rank counts next to `ranks`, one below and one above, that leave no worker idle.
std::vector<int> BetterRanks(const BannerFacts& facts) {
  const auto fits = [&](int ranks) { return facts.lanes % (ranks * facts.threads) == 0; };
  std::vector<int> better;
  int ranks = facts.ranks - 1;
  while (ranks >= 1 && !fits(ranks)) --ranks;
  if (ranks >= 1) better.push_back(ranks);
  ranks = facts.ranks + 1;
  while (ranks <= facts.lanes && !fits(ranks)) ++ranks;
  if (ranks <= facts.lanes) better.push_back(ranks);
  return better;
}

// The least number of lanes above the present one that fills all workers and divides the batch; 0: none does.
int BetterLanes(const BannerFacts& facts) {
  const int workers = facts.ranks * facts.threads;
  const int share = facts.global_batch / std::max(1, facts.accumulate);
  for (int lanes = CeilDivide(facts.lanes + 1, workers) * workers; lanes <= share; lanes += workers) {
    if (share % lanes == 0) return lanes;
  }
  return 0;
}

std::string FitAdvice(const BannerFacts& facts) {
  const double efficiency = LaneEfficiency(facts.lanes, facts.ranks, facts.threads);
  const int most = CeilDivide(facts.lanes, facts.ranks);
  std::vector<std::string> ways;
  if (const std::vector<int> better = BetterRanks(facts); !better.empty()) {
    ways.push_back(absl::StrCat(absl::StrJoin(better, " or "), better.back() == 1 ? " rank" : " ranks"));
  }
  if (facts.threads > most) ways.push_back(absl::StrCat("execution.threads: ", most));
  if (const int lanes = BetterLanes(facts))
    ways.push_back(absl::StrCat("lanes: ", lanes, " (changes the result)"));
  const std::string workers =
      facts.threads == 1 ? Plural(facts.ranks, "rank")
                         : absl::StrCat(Plural(facts.ranks, "rank"), " x ", Plural(facts.threads, "thread"));
  return absl::StrCat(Plural(facts.lanes, "lane"), " on ", workers, ": ", Percent(efficiency), " efficient",
                      ways.empty() ? "" : absl::StrCat("; use ", absl::StrJoin(ways, ", or ")));
}

std::string BoundBy(const BannerFacts& facts) {
  if (facts.launcher == "openmpi") return "mpirun bound";
  if (facts.launcher == "slurm") return "srun bound";
  return "the launcher bound";
}

std::string Unbind(const BannerFacts& facts, int wanted) {
  if (facts.launcher == "openmpi") {
    return absl::StrCat("--bind-to none, or --map-by slot:PE=", wanted, " gives it more");
  }
  if (facts.launcher == "slurm") return absl::StrCat("--cpus-per-task=", wanted, " gives it more");
  if (facts.launcher == "lockstep") return "--bind none gives it more";
  return "a wider affinity mask (taskset) gives it more";
}

// Bound to fewer cores than it has threads, or than its fair share of a machine while it has lanes for more.
std::string BindingAdvice(const BannerFacts& facts) {
  const int most_lanes = CeilDivide(facts.lanes, facts.ranks);
  const int share = std::max(1, facts.machine_cores / std::max(1, facts.local_ranks));
  const int wanted = facts.threads_set ? facts.threads : std::min(share, most_lanes);
  if (facts.cores >= wanted) return "";
  if (facts.cores >= facts.machine_cores) {
    return absl::StrCat("execution.threads: ", facts.threads, " on a machine of ",
                        Plural(facts.machine_cores, "core"), ": threads share cores");
  }
  return absl::StrCat(BoundBy(facts), " this rank to ", facts.cores, " of ",
                      Plural(facts.machine_cores, "core"),
                      facts.threads_set ? absl::StrCat(" for ", Plural(facts.threads, "thread")) : "", "; ",
                      Unbind(facts, wanted));
}

// Cores that no lane of this rank can use. When the threads were set, that many cores were asked for.
std::string IdleAdvice(const BannerFacts& facts) {
  const int most_lanes = CeilDivide(facts.lanes, facts.ranks);
  const int busy = std::min(facts.threads, most_lanes) * facts.local_ranks;
  const int idle = facts.machine_cores - busy;
  if (facts.threads_set || idle <= 0 || facts.cores < std::min(most_lanes, facts.machine_cores)) return "";
  if (busy >= kGoodEfficiency * facts.machine_cores) return "";
  return absl::StrCat(Plural(idle, "core"), " of ", facts.machine_cores,
                      " idle: ", Plural(facts.lanes, "lane"), " (", LanesOfARank(facts.lanes, facts.ranks),
                      ") keep no more busy; more lanes would (changes the result)");
}

}  // namespace

double LaneEfficiency(int lanes, int ranks, int threads) {
  const int workers = std::max(1, ranks) * std::max(1, threads);
  return static_cast<double>(lanes) / (static_cast<double>(workers) * CeilDivide(lanes, workers));
}

std::vector<std::string> BannerLines(const BannerFacts& facts) {
  const int share = facts.global_batch / std::max(1, facts.lanes * facts.accumulate);
  const std::string batch = facts.accumulate > 1
                                ? absl::StrCat(facts.lanes, " x ", facts.accumulate, " x ", share)
                                : absl::StrCat(facts.lanes, " x ", share);
  std::vector<std::string> lines = {
      absl::StrCat(Plural(facts.ranks, "rank"), " on ", Plural(facts.machines, "machine"), ", ",
                   facts.ranks == 1 ? "" : absl::StrCat(facts.transport, ", "), Plural(facts.lanes, "lane"),
                   " (", LanesOfARank(facts.lanes, facts.ranks), "), ",
                   facts.threads > 1 ? absl::StrCat(facts.threads, " threads a rank, ") : "", "batch ",
                   facts.global_batch, " = ", batch)};
  for (const std::string& fallback : facts.fallbacks) lines.push_back(absl::StrCat("fallback: ", fallback));
  return lines;
}

std::vector<std::string> BannerAdvice(const BannerFacts& facts) {
  std::vector<std::string> advice;
  if (const std::string binding = BindingAdvice(facts); !binding.empty()) advice.push_back(binding);
  if (LaneEfficiency(facts.lanes, facts.ranks, facts.threads) < kGoodEfficiency)
    advice.push_back(FitAdvice(facts));
  if (const std::string idle = IdleAdvice(facts); !idle.empty()) advice.push_back(idle);
  return advice;
}

}  // namespace lockstep::train
