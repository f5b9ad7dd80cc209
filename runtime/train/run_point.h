// Where a rank stands in a run, besides its tensors: what survivors of a failure compare, and what a rank
// that is behind, or new, takes over together with the tensors (takeover.h).
#ifndef LOCKSTEP_RUNTIME_TRAIN_RUN_POINT_H_
#define LOCKSTEP_RUNTIME_TRAIN_RUN_POINT_H_

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "runtime/train/observer.h"
#include "runtime/train/train_loop.h"

namespace lockstep::train {

// How far the work that follows the commit of step `counters.step` has come. A rank begins with nothing (it
// is new) or with all of it done (a fresh run, or one resumed from a checkpoint).
enum class Stage : int64_t {
  kNothing = 0,    // this rank has no state yet
  kCommitted = 1,  // the step's update is applied
  kCompared = 2,   // the ranks' states were compared, if that was due
  kEvaluated = 3,  // its validation is done, if one was due
  kSaved = 4,      // its checkpoint was handed to the writer, if one was due
  kLooked = 5,     // the last step's: a validation that no schedule names is done, too
};

// The same on all ranks that have come equally far, but for what is said to be this process's.
struct RunPoint {
  Stage stage = Stage::kNothing;
  RunCounters counters;
  double loss = 0;              // of the last step
  StepMetrics last;             // of the last step that was committed since the start; step 0: none yet
  EvalMetrics eval;             // the last validation since the start; step -1: none yet
  bool eval_scheduled = false;  // it has a line in metrics.jsonl
  bool new_best = false;        // that validation was the best; its checkpoint is to be marked
  bool updated = false;         // that step's update was not left out; it was this:
  StepUpdate update;
  int64_t saved_step = -1;  // of the newest checkpoint that was handed to its writer
  int64_t lost_step = -1;   // the same of the writer before, which may not have finished it

  bool diverged = false;   // ranks held different states: none of them counts, the run is to go back
  bool lost = false;       // the same because some of the state died with those who held it
  int64_t began_at = -1;   // step of the checkpoint that the run's start began from; -1: from none
  std::string began_from;  // its path

  // What was decided in the last vote.
  int signal = 0;               // leave; 0: no
  bool checkpoint_due = false;  // by rank 0's clock, or because somebody asked
  bool admit = false;           // newcomers wait to be let in
  int size = 0;                 // so many ranks shall remain; 0: as many as there are
  bool paused = false;

  // This process's.
  double seconds = 0;       // of training, over all resumes, until the loop began
  double seconds_here = 0;  // of training, in this process
  int64_t steps_here = 0;   // committed by this process
  double last_save = 0;     // when a checkpoint was last begun, or the process; monotonic seconds

  RunPoint() { eval.step = -1; }
};

// Whether `a` has come further than `b`.
bool IsFurther(const RunPoint& a, const RunPoint& b);

// Exact (doubles bit for bit), for ranks of the same build.
std::string PackPoint(const RunPoint& point);
// False when `text` is no such text.
bool UnpackPoint(absl::string_view text, RunPoint* point);

}  // namespace lockstep::train

#endif  // LOCKSTEP_RUNTIME_TRAIN_RUN_POINT_H_
