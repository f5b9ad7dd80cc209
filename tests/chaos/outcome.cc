#include "tests/chaos/outcome.h"

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace lockstep::testing {
namespace {

namespace fs = std::filesystem;

std::vector<fs::path> EntriesOf(const fs::path& folder, const std::string& prefix) {
  std::vector<fs::path> entries;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(folder, ignored)) {
    if (absl::StartsWith(entry.path().filename().string(), prefix)) entries.push_back(entry.path());
  }
  std::sort(entries.begin(), entries.end());
  return entries;
}

std::string FirstDifference(const std::vector<std::string>& ours, const std::vector<std::string>& calm) {
  for (size_t i = 0; i < std::max(ours.size(), calm.size()); ++i) {
    const std::string our = i < ours.size() ? ours[i] : "(none)",
                      theirs = i < calm.size() ? calm[i] : "(none)";
    if (our != theirs) return absl::StrCat("line ", i + 1, ": ", our, ", calm: ", theirs);
  }
  return "";
}

void FlipABit(const fs::path& path, uint64_t size, Dice& dice) {
  std::fstream stream(path, std::ios::in | std::ios::out | std::ios::binary);
  const auto at = static_cast<int64_t>(dice.Next() % size);
  stream.seekg(at);
  const int byte = stream.get();
  stream.seekp(at);
  stream.put(static_cast<char>(byte ^ (1 << dice.Below(8))));
}

}  // namespace

CalmRun RunCalmly(const Recipe& recipe) {
  const Workspace work;
  const std::string config = work.WriteConfig("config", recipe.config);
  Command command = {.config = config, .out = "run", .ranks = 1, .start = StartWith::kNothing};
  command.arguments = {"--ledger", "--set", absl::StrCat("steps=", recipe.steps)};
  (void)work.Train(command);
  return {work.TracesOf("run"), work.Read("run/checkpoints/best")};
}

std::string DifferenceFrom(const CalmRun& calm, const Workspace& work, const std::string& out) {
  const Traces ours = work.TracesOf(out), &theirs = calm.traces;
  if (ours.weights_sha256 != theirs.weights_sha256) {
    return absl::StrCat("other weights: ", ours.weights_sha256, ", calm ", theirs.weights_sha256);
  }
  if (ours.state_sha256 != theirs.state_sha256) return "the same weights, another state";
  if (ours.ledger != theirs.ledger) return "another ledger: samples lost or repeated";
  if (ours.metrics != theirs.metrics) {
    return absl::StrCat("other metrics; ", FirstDifference(ours.metrics, theirs.metrics));
  }
  const std::string best = work.Read(absl::StrCat(out, "/checkpoints/best"));
  if (best != calm.best) return absl::StrCat("the best checkpoint is ", best, ", calm ", calm.best);
  const std::vector<fs::path> leftovers = EntriesOf(work.Path(absl::StrCat(out, "/checkpoints")), ".");
  if (!leftovers.empty()) return absl::StrCat("left in checkpoints: ", leftovers[0].string());
  Subprocess verify({ProgramPath(), "checkpoint", "verify", work.Path(out)});
  return verify.Wait() == 0 ? "" : absl::StrCat("checkpoint verify: ", verify.Output());
}

bool DamageNewestCheckpoint(const Workspace& work, const std::string& out, Dice& dice) {
  const std::vector<fs::path> checkpoints = EntriesOf(work.Path(absl::StrCat(out, "/checkpoints")), "step-");
  if (checkpoints.size() < 2) return false;
  const std::vector<fs::path> files = EntriesOf(checkpoints.back(), "");
  if (files.empty()) return false;
  const fs::path file = dice.Of(files);
  std::error_code error;
  const uint64_t size = fs::file_size(file, error);
  if (error || size == 0) return false;
  if (dice.Chance(30)) {
    fs::resize_file(file, size / 2, error);
  } else {
    FlipABit(file, size, dice);
  }
  return true;
}

}  // namespace lockstep::testing
