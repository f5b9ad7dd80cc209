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

// Holds OpenMP, which oneDNN brings along, to one thread on the calling thread while it lives, and gives back
// what was set before. oneDNN plans a primitive for as many threads as OpenMP has when it is made, and the
// plan decides bits: making one needs this as much as running one.
class SingleThreadedOpenMp {
 public:
  SingleThreadedOpenMp();
  ~SingleThreadedOpenMp();
  SingleThreadedOpenMp(const SingleThreadedOpenMp&) = delete;
  SingleThreadedOpenMp& operator=(const SingleThreadedOpenMp&) = delete;

 private:
  int saved_ = 0;  // threads; 0 without OpenMP
};

// Names the calling thread for debuggers and /proc (at most 15 bytes are kept).
void NameThread(absl::string_view name);

// The calling thread from now on takes what the others of this machine leave of a busy core (nice 5: about a quarter
// of it beside one thread of the usual priority), and all of an idle one.
void GiveWayToOthers();

// Cores that this process may run on (its affinity mask, as the launcher left it); at least 1.
int AvailableCores();

}  // namespace lockstep

#endif  // LOCKSTEP_RUNTIME_CORE_THREAD_H_
