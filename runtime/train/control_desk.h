// Where what somebody outside asks of a run (`lockstep ctl`) waits for rank 0's next ballot, and where the
// loop leaves what `status` shows.
#ifndef LOCKSTEP_RUNTIME_TRAIN_CONTROL_DESK_H_
#define LOCKSTEP_RUNTIME_TRAIN_CONTROL_DESK_H_

#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <string>

#include "absl/time/time.h"
#include "runtime/train/observer.h"
#include "runtime/train/step_vote.h"

namespace lockstep::train {

struct Wishes {
  bool checkpoint = false;
  bool stop = false;  // checkpoint, then leave
  int size = 0;       // so many ranks shall remain; 0: no wish
  PauseWish pause = PauseWish::kNone;
};

// Thread-safe. A wish that is in a vote that fails waits for the next one: all of them may be granted twice.
class ControlDesk final : public Observer {
 public:
  // Adds to what waits. For Heard by, below.
  uint64_t Ask(const Wishes& wishes);
  // Whether a vote has carried what Ask returned the number of, within `patience`.
  bool AwaitHeard(uint64_t number, absl::Duration patience);
  // Ends the waits of AwaitHeard, for good.
  void Close();

  // For the loop: what goes into the ballot, and then that the vote was carried.
  Wishes Take();
  void Heard();

  // What the run is doing.
  struct Status {
    StepMetrics last;  // step 0: none yet
    bool paused = false;
    std::string members;  // lines for people: who is in, as which generation, since when
    int size = 1;
  };
  void SetMembers(std::string text, int size);
  void SetPaused(bool paused);
  void OnStep(const StepMetrics& metrics, absl::Span<const int64_t> ids) override;
  void OnEval(const EvalMetrics&) override {}
  Status status() const;

 private:
  mutable std::mutex mutex_;  // of all below
  std::condition_variable heard_;
  Wishes waiting_, taken_;
  bool closed_ = false;
  uint64_t asked_ = 0, taken_number_ = 0, heard_number_ = 0;
  Status status_;
};

}  // namespace lockstep::train

#endif  // LOCKSTEP_RUNTIME_TRAIN_CONTROL_DESK_H_
