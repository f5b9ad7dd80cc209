// Whether somebody is watching on a terminal, and how wide it is.
#ifndef LOCKSTEP_RUNTIME_TRAIN_TERMINAL_H_
#define LOCKSTEP_RUNTIME_TRAIN_TERMINAL_H_

namespace lockstep::train {

struct Terminal {
  bool live = false;
  int columns = 80;
};

// The terminal behind `fd` (1 standard output, 2 standard error), if there is one. Under a launcher a rank's
// own streams say nothing: Open MPI gives every rank a pseudo-terminal even when its own output goes to a
// file. With `launched`, the same stream of the parent process is looked at instead; a parent that hides it
// (slurmstepd) counts as no terminal.
Terminal FindTerminal(int fd, bool launched);

}  // namespace lockstep::train

#endif  // LOCKSTEP_RUNTIME_TRAIN_TERMINAL_H_
