// What ranks tell `lockstep launch --elastic`: short lines in a pipe that they inherit (LOCKSTEP_SUPERVISOR,
// its number). A write of a line is atomic, so all ranks share the pipe.
//   member SLOT   this process is a rank of a run whose ranks may come and go
//   left SLOT     it goes, as was planned; its end is no failure
//   grow N        so many ranks are wanted in all
#ifndef LOCKSTEP_LAUNCHER_SUPERVISOR_LINE_H_
#define LOCKSTEP_LAUNCHER_SUPERVISOR_LINE_H_

#include "absl/strings/string_view.h"
#include "runtime/core/status.h"

namespace lockstep::launcher {

inline constexpr char kSupervisorVariable[] = "LOCKSTEP_SUPERVISOR";

// A rank's end. Thread-safe.
class SupervisorLine {
 public:
  // `slot`: which of its children the supervisor takes this process for, LOCKSTEP_RANK.
  explicit SupervisorLine(int slot);

  bool connected() const { return fd_ >= 0; }
  void SayMember() const;
  void SayLeft() const;
  absl::Status AskForRanks(int ranks) const;

 private:
  bool Write(absl::string_view line) const;
  const int slot_;
  int fd_ = -1;
};

}  // namespace lockstep::launcher

#endif  // LOCKSTEP_LAUNCHER_SUPERVISOR_LINE_H_
