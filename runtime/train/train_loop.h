// The loop that everyone reads: steps, validations and checkpoints from where a run stands to where it stops.
#ifndef LOCKSTEP_RUNTIME_TRAIN_TRAIN_LOOP_H_
#define LOCKSTEP_RUNTIME_TRAIN_TRAIN_LOOP_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "comm/communicator.h"
#include "comm/membership.h"
#include "proto/run_config.pb.h"
#include "runtime/core/fault_points.h"
#include "runtime/core/log.h"
#include "runtime/core/status.h"
#include "runtime/train/checkpoint_writer.h"
#include "runtime/train/control_desk.h"
#include "runtime/train/evaluator.h"
#include "runtime/train/feed.h"
#include "runtime/train/guard.h"
#include "runtime/train/integrity.h"
#include "runtime/train/model_state.h"
#include "runtime/train/observer.h"
#include "runtime/train/optimizer.h"
#include "runtime/train/replica.h"
#include "runtime/train/state_shards.h"
#include "runtime/train/step_vote.h"
#include "runtime/train/trace.h"
#include "runtime/train/work_marks.h"

namespace lockstep::train {

struct RunPoint;  // run_point.h
class KeptBest;   // kept_best.h
class Busy;       // busy.h

// What of a run's position is part of its state. A pure function of the recipe and the number of steps, like them:
// it is part of a checkpoint and of state_sha256.
struct RunCounters {
  int64_t step = 0;             // steps committed
  int64_t skipped_steps = 0;    // of those, updates that the guard left out
  int64_t damaged_records = 0;  // places of the run so far at which a record was damaged
  int64_t best_step = -1;       // of the best validation; -1: none yet
  double best_metric = 0;
  GuardState guard;

  Counters ToManifest() const;  // all but the step, which has a field of its own
  static RunCounters FromManifest(const Manifest& manifest);
};

// What the loop works on; all borrowed. Null where a rank has no such thing (only rank 0 writes).
struct LoopParts {
  const RunConfig* config = nullptr;  // resolved
  comm::Communicator* communicator = nullptr;
  LaneTeam* team = nullptr;
  Replica* replica = nullptr;
  const Compressor* compressor = nullptr;  // null: gradients travel as they are, or as 16 bits
  Evaluator* evaluator = nullptr;          // null: no validation
  Optimizer* optimizer = nullptr;
  ModelState* state = nullptr;
  StateShards* shards = nullptr;  // null: every rank holds the whole state
  int save_shards = 1;            // files that a checkpoint is written in
  Feed* feed = nullptr;
  WorkMarks* marks = nullptr;      // null: nobody learns what this rank worked on
  Integrity* integrity = nullptr;  // null: states are not compared
  CheckpointWriter* checkpoints = nullptr;
  Busy* busy = nullptr;           // null: nobody is shown that this rank is busy with its disk
  KeptBest* kept_best = nullptr;  // null: this rank keeps no copy of the best state
  Trace* trace = nullptr;
  Logger* log = nullptr;
  std::vector<Observer*> observers;
  bool ledger = false;  // observers want record ids
  const std::atomic<int>* stop_signal = nullptr;
  const comm::Membership* membership = nullptr;  // null: nobody comes or goes
  ControlDesk* desk = nullptr;                   // what is asked of the run, on rank 0
  int64_t generation = 1;
  FaultPoints* faults = nullptr;  // what tests make go wrong
  Manifest manifest;              // for checkpoints: everything that does not change from step to step
};

struct LoopPlan {
  int64_t horizon = 0;  // of the recipe, in steps
  int64_t stop = 0;     // <= horizon
};

enum class LoopEnd {
  kDone,      // the run reached its stop, or a signal
  kDiverged,  // the ranks' states differ (RunPoint::diverged; parts.integrity says how); nothing of it was saved
  kChange     // the membership is to change, as all ranks agreed: RunPoint::admit, RunPoint::size
};

// Runs what is left of the step where the run stands, and the steps after it up to plan.stop, or until a
// signal, or until the membership is to change. When it is done the last step has a checkpoint. Errors are
// the same on every rank: NumericsError naming step and tensor, DataError, PeerError. After any error `point`
// says how far this rank has come: a step is committed whole or not at all.
class TrainLoop {
 public:
  TrainLoop(LoopParts parts, LoopPlan plan, RunPoint* point);
  absl::StatusOr<LoopEnd> Run();

 private:
  struct StepTimes {
    double begin = 0, comm = 0, data_wait = 0;
  };

  absl::StatusOr<LoopEnd> RunSteps();
  absl::Status FinishStep();
  absl::Status Step();
  absl::Status Pause();
  Ballot NewBallot();
  void Decide(const Verdict& verdict);
  bool ChangeIsDue() const;
  // Lanes, reduction and vote, and the norm of the sum of gradients. Done again while ranks hold different
  // sums, where they compare them.
  absl::StatusOr<Replica::Gradient> ReduceAndVote(Verdict* verdict, double* norm, double* comm_seconds);
  absl::Status Commit(const Replica::Gradient& gradient, const Verdict& verdict, double norm,
                      StepMetrics* metrics);
  // train_loop_shards.cc
  void UpdateShards(const Replica::Gradient& gradient, const StepUpdate& update);
  absl::Status CompleteParameters(double* comm_seconds);
  absl::Status CollectMoments(TrainTensors* tensors);
  absl::Status TellStep(const StepMetrics& metrics, double vote_end);
  // train_loop_checks.cc
  absl::Status NoteDamage(const Verdict& verdict, StepMetrics* metrics);
  absl::Status NoteEvalDamage();
  absl::Status ActOn(const GuardDecision& decision, const Verdict& verdict, StepMetrics* metrics);
  absl::Status StopForNonFinite(const std::string& what);
  std::string WhereNotFinite(const Verdict& verdict) const;
  absl::Status CompareStates();
  void FlipForTests(absl::string_view point, absl::Span<float> memory);
  absl::Status Evaluate(bool scheduled);
  bool EvaluationDue() const;
  bool CheckpointDueBySteps() const;
  bool CheckpointDueByTime() const;
  absl::Status SaveCheckpoint(bool best);
  FetchBatch FetchForStep();

  const LoopParts parts_;
  const LoopPlan plan_;
  RunPoint* const point_;
  RunCounters* const counters_;  // of point_
  uint64_t dropout_key_ = 0;
  double begin_ = 0;  // monotonic seconds
  std::vector<int64_t> ids_;
  AlignedBuffer<float> error_memories_;               // of all ranks, for checkpoints; on rank 0
  std::vector<std::unique_ptr<comm::Work>> gathers_;  // of parameters, by bucket
  std::vector<AlignedBuffer<float>> collected_;       // moments that this rank writes into a checkpoint
};

}  // namespace lockstep::train

#endif  // LOCKSTEP_RUNTIME_TRAIN_TRAIN_LOOP_H_
