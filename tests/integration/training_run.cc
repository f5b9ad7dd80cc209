#include "tests/integration/training_run.h"

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <nlohmann/json.hpp>
#include <ostream>
#include <sstream>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "gtest/gtest.h"

namespace lockstep::testing {

namespace fs = std::filesystem;

const char kFullConfig[] = R"(
model { layers {
  conv2d { channels: 8 kernel: 3 } batch_norm {} relu {} max_pool { size: 2 }
  flatten {} linear { features: 24 } relu {} dropout { rate: 0.2 } linear { features: 10 } } }
data {
  train: "DATA/digits-train*.tfrecord" eval: "DATA/digits-test*.tfrecord"
  input { feature: "image" shape: [8, 8, 1] scale: 0.0625 }
  label { feature: "label" classes: 10 } }
optimizer { adamw { lr: 5e-3 no_decay: "*.bias" } clip_norm: 1 }
schedule { cosine { warmup_steps: 5 } }
ema { decay: 0.9 }
lanes: 8 global_batch: 64 accumulate: 2 steps: 25 seed: 3
eval { every_steps: 7 metric: "accuracy" max_records: 90 }
execution { threads: 1 comm { bucket_kib: 4 } }
)";

const char kSmallConfig[] = R"(
model { name: "mlp" mlp { hidden: [32] dropout: 0.1 } }
data {
  train: "DATA/digits-train*.tfrecord" eval: "DATA/digits-test*.tfrecord"
  input { feature: "image" shape: [8, 8, 1] scale: 0.0625 }
  label { feature: "label" classes: 10 } }
optimizer { sgd { lr: 0.1 momentum: 0.9 } }
lanes: 8 global_batch: 64 steps: 40 seed: 1
eval { every_steps: 9 metric: "accuracy" max_records: 50 }
execution { threads: 1 }
)";

std::string ProgramPath() {
  const char* const other = std::getenv("LOCKSTEP_PROGRAM");
  return other != nullptr ? other : LOCKSTEP_BINARY_DIR "/bin/lockstep";
}

void PrintTo(const Traces& traces, std::ostream* out) {
  *out << "weights " << traces.weights_sha256 << "\nstate " << traces.state_sha256 << "\nledger of "
       << traces.ledger.size() << " bytes\n";
  for (const std::string& line : traces.metrics) *out << line << "\n";
}

Workspace::Workspace() {
  std::string folder = (fs::temp_directory_path() / "lockstep-integration-XXXXXX").string();
  if (mkdtemp(folder.data()) == nullptr) std::abort();
  folder_ = folder;
  static std::once_flag once;  // workspaces may be made by several threads
  std::call_once(once, [] {
    // Open MPI refuses root (as which containers run tests) unless told twice.
    setenv("OMPI_ALLOW_RUN_AS_ROOT", "1", 1);
    setenv("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1", 1);
    setenv("OMPI_MCA_rmaps_base_oversubscribe", "1", 1);  // --oversubscribe, which other MPIs do not know
  });
}

Workspace::~Workspace() {
  std::error_code ignored;
  if (!kept_) fs::remove_all(folder_, ignored);
}

std::string Workspace::WriteConfig(const std::string& name, const std::string& text) const {
  const std::string path = Path(name + ".textproto");
  std::ofstream(path) << absl::StrReplaceAll(text, {{"DATA", LOCKSTEP_SOURCE_DIR "/examples/data"}});
  return path;
}

std::unique_ptr<Subprocess> Workspace::Start(const Command& command) const {
  std::vector<std::string> words = {"/usr/bin/env"};
  words.insert(words.end(), command.environment.begin(), command.environment.end());
  const std::string ranks = absl::StrCat(command.ranks);
  if (command.start == StartWith::kMpirun || command.start == StartWith::kRecovery) {
    words.insert(words.end(), {LOCKSTEP_MPIRUN, "--bind-to", "none", "-np", ranks});
    if (command.start == StartWith::kRecovery) words.push_back("--enable-recovery");
    words.push_back(ProgramPath());
  } else if (command.start == StartWith::kLaunch || command.start == StartWith::kElastic) {
    words.insert(words.end(), {ProgramPath(), "launch", "-n", ranks, "--bind", "none"});
    if (command.start == StartWith::kElastic) words.push_back("--elastic");
    words.insert(words.end(), command.launcher_arguments.begin(), command.launcher_arguments.end());
    words.push_back("--");
  } else {
    words.push_back(ProgramPath());
  }
  words.insert(words.end(), {"train", command.config, "--out", Path(command.out)});
  words.insert(words.end(), command.arguments.begin(), command.arguments.end());
  return std::make_unique<Subprocess>(words);
}

Ended Workspace::Train(const Command& command) const {
  const auto process = Start(command);
  const int code = process->Wait();
  return {code, process->Output()};
}

std::string Workspace::Read(const std::string& name) const {
  std::stringstream text;
  text << std::ifstream(Path(name)).rdbuf();
  return text.str();
}

Traces Workspace::TrainedTraces(const std::string& config, const std::string& out, int ranks,
                                const std::vector<std::string>& settings) const {
  std::vector<std::string> arguments = {"--ledger"};
  for (const std::string& setting : settings) arguments.insert(arguments.end(), {"--set", setting});
  const Ended run = Train({.config = config,
                           .out = out,
                           .ranks = ranks,
                           .arguments = arguments,
                           .start = ranks == 1 ? StartWith::kNothing : StartWith::kMpirun});
  EXPECT_EQ(run.code, 0) << run.output;
  return TracesOf(out);
}

std::string Workspace::ResultField(const std::string& out, const std::string& field) const {
  const auto json = nlohmann::json::parse(Read(out + "/result.json"), nullptr, /*allow_exceptions=*/false);
  return json.is_object() && json.contains(field) ? json[field].dump() : "";
}

Traces Workspace::TracesOf(const std::string& out) const {
  Traces traces;
  traces.weights_sha256 = ResultField(out, "weights_sha256");
  traces.state_sha256 = ResultField(out, "state_sha256");
  traces.ledger = Read(out + "/ledger.jsonl");
  for (absl::string_view line : absl::StrSplit(Read(out + "/metrics.jsonl"), '\n', absl::SkipEmpty())) {
    auto json = nlohmann::json::parse(line.begin(), line.end(), nullptr, /*allow_exceptions=*/false);
    if (json.is_object()) {
      for (const char* own : {"samples_per_second", "step_seconds", "comm_seconds", "data_wait_seconds",
                              "world_size", "generation"}) {
        json.erase(own);
      }
    }
    traces.metrics.push_back(json.is_discarded() ? absl::StrCat("not JSON: ", line) : json.dump());
  }
  return traces;
}

std::vector<pid_t> Workspace::Ranks(const std::string& out) const {
  std::vector<pid_t> pids;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator("/proc", ignored)) {
    const std::string name = entry.path().filename().string();
    if (name.find_first_not_of("0123456789") != name.npos) continue;
    std::stringstream text;
    text << std::ifstream(entry.path() / "cmdline").rdbuf();
    const std::vector<std::string> words = absl::StrSplit(text.str(), '\0');
    const bool rank = words.size() > 1 && words[1] == "train" && absl::StrContains(words[0], "lockstep");
    if (rank && std::find(words.begin(), words.end(), Path(out)) != words.end()) {
      pids.push_back(std::atoi(name.c_str()));
    }
  }
  return pids;
}

bool Workspace::RanksEnd(const std::string& out, double seconds) const {
  const auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(seconds);
  while (!Ranks(out).empty()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return true;
}

}  // namespace lockstep::testing
