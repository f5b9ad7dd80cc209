// How the thread that watches the membership ends what the loop's thread is in the middle of.
#ifndef LOCKSTEP_RUNTIME_TRAIN_INTERRUPTION_H_
#define LOCKSTEP_RUNTIME_TRAIN_INTERRUPTION_H_

#include <mutex>

#include "comm/communicator.h"
#include "runtime/core/status.h"
#include "runtime/train/evaluator.h"
#include "runtime/train/replica.h"

namespace lockstep::train {

// Thread-safe. Pointers are borrowed until the next Clear.
class Interruption {
 public:
  // A new generation begins.
  void Clear();
  // What a call ends, as it is made; null: nothing. When the call has come already, it is ended at once.
  void Cover(comm::Communicator* communicator);
  void Cover(Replica* replica, Evaluator* evaluator);

  // The call: `reason` (not OK) becomes the failure of all of these.
  void Call(const absl::Status& reason);

 private:
  void EndAll();  // with mutex_ held

  std::mutex mutex_;
  absl::Status reason_;
  comm::Communicator* communicator_ = nullptr;
  Replica* replica_ = nullptr;
  Evaluator* evaluator_ = nullptr;
};

}  // namespace lockstep::train

#endif  // LOCKSTEP_RUNTIME_TRAIN_INTERRUPTION_H_
