// The setting up of a run on one rank, in the order in which things depend on each other. RunTraining
// (trainer.h) is its only user; it is a class of its own so that each stage fits a screen.
#ifndef LOCKSTEP_RUNTIME_TRAIN_SESSION_H_
#define LOCKSTEP_RUNTIME_TRAIN_SESSION_H_

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "comm/communicator.h"
#include "runtime/train/banner.h"
#include "runtime/train/checkpoint_writer.h"
#include "runtime/train/compression/compressor.h"
#include "runtime/train/evaluator.h"
#include "runtime/train/feed.h"
#include "runtime/train/integrity.h"
#include "runtime/train/lane_team.h"
#include "runtime/train/model_state.h"
#include "runtime/train/observer.h"
#include "runtime/train/optimizer.h"
#include "runtime/train/replica.h"
#include "runtime/train/result.h"
#include "runtime/train/run_folder.h"
#include "runtime/train/trace.h"
#include "runtime/train/train_loop.h"
#include "runtime/train/trainer.h"

namespace lockstep::train {

// One run of one rank. Prepare, then Train; members are destroyed in the reverse order of their making.
class Session {
 public:
  explicit Session(const TrainOptions& options);
  ~Session();

  // Everything before the first step. Collective; errors are the same on every rank.
  absl::Status Prepare();
  // Steps, validations, checkpoints, and the result. After Prepare.
  absl::StatusOr<TrainResult> Train();
  // Writes RUN/result.json for a run that failed, if this rank writes results.
  void ReportFailure(const absl::Status& status);

  // What --dry-run prints. Alone, without communicator and folder.
  absl::StatusOr<std::string> Describe();

 private:
  absl::Status OpenData();           // feed_
  absl::Status BuildPrograms();      // programs
  absl::Status Connect();            // communicator_, who shares this machine
  absl::Status OpenFolder();         // folder_ on rank 0
  absl::Status AgreeOnRun();         // same build, recipe and data on every rank
  absl::Status CheckMemory() const;  // what MakeReplica will allocate fits this machine
  absl::Status CheckPoison();        // on rank 0: no work kills again whoever takes it on
  void OpenMarks();                  // marks_
  absl::Status MakeReplica();        // team_, state_, replica_, ...
  absl::Status Probe();              // same bits on every rank
  absl::Status Resume();             // state_ and counters_ from a checkpoint, if there is one
  absl::Status CheckLineage(const Manifest& manifest) const;
  absl::StatusOr<std::optional<LoadedCheckpoint>> ChooseCheckpoint() const;
  absl::Status OpenObservers();    // on rank 0
  absl::Status OpenCheckpoints();  // checkpoints_, on the ranks that write
  absl::Status GoBack();           // after a divergence: to the newest checkpoint, which all agreed on
  absl::StatusOr<FoundCheckpoint> FindAgreedCheckpoint() const;
  BannerFacts FactsForBanner() const;
  int ChooseThreads() const;
  Manifest ManifestTemplate() const;
  LoopParts PartsForLoop();
  absl::StatusOr<TrainResult> Finish(const LoopResult& loop);
  RunResult ResultSoFar() const;

  const TrainOptions& options_;
  RunConfig config_;  // resolved
  Logger* log_;       // options_.log, or the one beside the progress line
  std::string recipe_text_, recipe_hash_, probe_hash_;

  std::unique_ptr<WorkMarks> marks_;  // null where the run folder cannot hold them
  std::unique_ptr<Feed> feed_;
  std::shared_ptr<const graph::LaneProgram> train_program_, eval_program_;
  LoopPlan plan_;

  std::unique_ptr<comm::Communicator> communicator_;
  int machines_ = 1, local_ranks_ = 1;
  std::optional<RunFolder> folder_;
  std::unique_ptr<LaneTeam> team_;
  std::unique_ptr<ModelState> state_;
  std::unique_ptr<Compressor> compressor_;  // null: gradients travel as they are, or as 16 bits
  std::unique_ptr<Replica> replica_;
  std::unique_ptr<Evaluator> evaluator_;
  std::unique_ptr<Optimizer> optimizer_;
  bool prepared_ = false;  // the run has begun: result.json is its own to write
  RunCounters counters_;
  double earlier_seconds_ = 0;  // trained before this process
  double last_loss_ = 0;        // as the checkpoint had it
  StateHashes hashes_;          // of the newest checkpoint
  bool going_back_ = false;
  int64_t began_at_ = -1;   // step of the checkpoint that this process began from; -1: from none
  std::string began_from_;  // its path, on rank 0

  std::vector<std::unique_ptr<Observer>> observers_;
  std::unique_ptr<Logger> logger_beside_;
  std::unique_ptr<Trace> trace_;
  std::unique_ptr<CheckpointWriter> checkpoints_;
  std::unique_ptr<Integrity> integrity_;
};

}  // namespace lockstep::train

#endif  // LOCKSTEP_RUNTIME_TRAIN_SESSION_H_
