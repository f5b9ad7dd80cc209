// What every thread that does arithmetic must agree on.
#ifndef LOCKSTEP_RUNTIME_CORE_THREAD_H_
#define LOCKSTEP_RUNTIME_CORE_THREAD_H_

#include "absl/strings/string_view.h"

namespace lockstep {

// Sets rounding to nearest and denormals to zero (FTZ and DAZ), as every lane thread must before its first
// operator: the modes belong to the thread and change bits. Also holds OpenMP inside oneDNN to one thread.
void PrepareLaneThread();

// Puts the calling thread into the lane threads' modes of rounding and denormals while it lives, and back
// after. For arithmetic that may run on a caller's thread (the sums of collectives).
class LaneArithmetic {
 public:
  LaneArithmetic();
  ~LaneArithmetic();
  LaneArithmetic(const LaneArithmetic&) = delete;
  LaneArithmetic& operator=(const LaneArithmetic&) = delete;

 private:
  unsigned saved_;  // the control register
};

// Names the calling thread for debuggers and /proc (at most 15 bytes are kept).
void NameThread(absl::string_view name);

// Cores that this process may run on (its affinity mask, as the launcher left it); at least 1.
int AvailableCores();

}  // namespace lockstep

#endif  // LOCKSTEP_RUNTIME_CORE_THREAD_H_
