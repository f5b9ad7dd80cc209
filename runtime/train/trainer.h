// One training run from configuration to result: what `lockstep train` does on each rank.
#ifndef LOCKSTEP_RUNTIME_TRAIN_TRAINER_H_
#define LOCKSTEP_RUNTIME_TRAIN_TRAINER_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>

#include "proto/run_config.pb.h"
#include "runtime/core/fault_points.h"
#include "runtime/core/file_system.h"
#include "runtime/core/log.h"
#include "runtime/core/status.h"

namespace lockstep::comm {
struct World;
}
namespace lockstep::nn {
class ModelRegistry;
}

namespace lockstep::train {

enum class ResumeMode {
  kAuto,   // continue from the newest whole checkpoint of the folder, if there is one
  kNever,  // start anew; refused when the folder holds checkpoints
  kPath,   // continue from the checkpoint folder TrainOptions::resume_path
};

// Pointers are borrowed and must outlive the call.
struct TrainOptions {
  RunConfig config;                // as loaded (runtime/train/config.h), with --set applied
  std::string config_path;         // for messages, and for data paths relative to its folder
  std::string out;                 // RUN, the output folder; made when missing; shared by all ranks
  std::optional<int64_t> stop_at;  // --steps: stop after this step (absolute); the horizon stays the recipe's
  ResumeMode resume = ResumeMode::kAuto;
  std::string resume_path;
  bool ledger = false;  // write RUN/ledger.jsonl
  bool trace = false;   // write RUN/trace.json
  bool fork = false;    // accept a checkpoint of another recipe or dataset: a new lineage
  bool verbose = false;
  bool terminal = false;               // standard error is a terminal: one live line instead of plain ones
  std::string build_id;                // compared between ranks and stored in checkpoints
  const comm::World* world = nullptr;  // who this rank is and where ranks meet (comm/bootstrap.h)
  const nn::ModelRegistry* models = nullptr;
  const std::atomic<int>* stop_signal = nullptr;  // number of a signal received, or 0: checkpoint, then leave
  // Called when ranks may come and go from now on, and then whenever this process has become another rank.
  std::function<void(int rank)> on_rank;
  // Asks whoever starts ranks for so many in all (`lockstep ctl RUN grow N`); empty: there is nobody.
  std::function<absl::Status(int ranks)> grow;
  FaultPoints* faults = nullptr;  // what tests make go wrong; null: nothing
  FileSystem* file_system = nullptr;
  Logger* log = nullptr;
};

// How a run ended; RUN/result.json holds the same.
struct TrainResult {
  // "done" (also when --steps said where), "interrupted" (signal), "left" (this rank alone, as was planned: the
  // others go on).
  std::string status;
  int signal = 0;     // of an interrupted run
  int64_t steps = 0;  // committed since the run began, over all resumes
  double loss = 0;    // of the last committed step
  std::map<std::string, double> eval;
  std::string weights_sha256, state_sha256;
};

// Blocks until the run ends. Every rank of the world calls it with the same configuration; the result and
// errors are the same on all (an error of one rank reaches the others with that rank's text). Errors carry
// their exit code (ExitCodeOf). Not to be called twice at once for one folder: the second waits for the first
// one's lock, then fails.
absl::StatusOr<TrainResult> RunTraining(const TrainOptions& options);

// What --dry-run prints: the resolved configuration, the plan of lanes and ranks, parameters and memory.
absl::StatusOr<std::string> DescribeRun(const TrainOptions& options);

}  // namespace lockstep::train

#endif  // LOCKSTEP_RUNTIME_TRAIN_TRAINER_H_
