// Whole runs of the program, as users start them, and what they leave behind: for tests across processes.
//
//   Workspace work;
//   const std::string config = work.WriteConfig("full", kFullConfig);
//   const Ended run = work.Train({.config = config, .out = "a", .ranks = 3, .arguments = {"--ledger"}});
//   EXPECT_EQ(run.code, 0) << run.output;
//   EXPECT_EQ(work.TracesOf("a"), work.TracesOf("b"));
#ifndef LOCKSTEP_TESTS_INTEGRATION_TRAINING_RUN_H_
#define LOCKSTEP_TESTS_INTEGRATION_TRAINING_RUN_H_

#include <sys/types.h>

#include <memory>
#include <string>
#include <vector>

#include "tests/launcher/subprocess.h"

namespace lockstep::testing {

// kNothing: one process, no launcher. kRecovery: mpirun --enable-recovery; kElastic: launch --elastic.
enum class StartWith { kMpirun, kLaunch, kNothing, kRecovery, kElastic };

struct Command {
  std::string config;  // a path
  std::string out;     // a name inside the workspace
  int ranks = 1;
  std::vector<std::string> arguments = {};  // after the common ones
  StartWith start = StartWith::kMpirun;
  std::vector<std::string> launcher_arguments = {};  // of `lockstep launch`, beside -n
  std::vector<std::string> environment = {};         // NAME=value
};

struct Ended {
  int code = 0;        // of the launcher
  std::string output;  // standard output and error of all
};

// What a run must have in common with every other run of the same recipe, data and seed.
struct Traces {
  std::string weights_sha256, state_sha256;
  std::string ledger;                // the file, byte for byte
  std::vector<std::string> metrics;  // each line of metrics.jsonl without times, world and generation
  friend bool operator==(const Traces&, const Traces&) = default;
};
void PrintTo(const Traces& traces, std::ostream* out);

// A temporary folder with everything that a test makes. Removed at the end.
class Workspace {
 public:
  Workspace();
  ~Workspace();
  Workspace(const Workspace&) = delete;
  Workspace& operator=(const Workspace&) = delete;

  void Keep() { kept_ = true; }  // for people to look at
  std::string Path(const std::string& name) const { return folder_ + "/" + name; }
  // Writes `text` with DATA replaced by the folder of the shipped records; returns its path.
  std::string WriteConfig(const std::string& name, const std::string& text) const;

  std::unique_ptr<Subprocess> Start(const Command& command) const;
  Ended Train(const Command& command) const;

  std::string Read(const std::string& name) const;  // "" when it is not there
  Traces TracesOf(const std::string& out) const;
  // Trains into `out` with a ledger (one rank: without a launcher; more: under mpirun), with a --set for each of
  // `settings`, expects that to end well, and reads what is left.
  Traces TrainedTraces(const std::string& config, const std::string& out, int ranks,
                       const std::vector<std::string>& settings = {}) const;
  std::string ResultField(const std::string& out, const std::string& field) const;  // as JSON; "" if missing

  // Processes of the program (not of launchers) whose command line names this workspace's folder `out`.
  std::vector<pid_t> Ranks(const std::string& out) const;
  bool RanksEnd(const std::string& out, double seconds) const;  // all are gone before that time

 private:
  std::string folder_;
  bool kept_ = false;
};

// The program under test; LOCKSTEP_PROGRAM names another one, such as a copy that no build replaces meanwhile.
std::string ProgramPath();

// A model with everything that could depend on who computes it: convolution, batch norm, dropout, two
// micro-batches a lane, clipping, a moving average, several buckets, validation with a partial last chunk.
extern const char kFullConfig[];
// The smallest: two linear layers, SGD with momentum, one micro-batch.
extern const char kSmallConfig[];

}  // namespace lockstep::testing

#endif  // LOCKSTEP_TESTS_INTEGRATION_TRAINING_RUN_H_
