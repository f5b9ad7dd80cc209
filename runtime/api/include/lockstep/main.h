// The `lockstep` program with models of one's own. Link lockstep::launcher.
#ifndef LOCKSTEP_MAIN_H_
#define LOCKSTEP_MAIN_H_

#include "lockstep/models.h"

namespace lockstep {

// Does what the command line says (`train`, `launch`, `comm`, `records`, `checkpoint`, `model`; --help lists
// them) and returns the exit code: 0 done, 2 usage or configuration, 3 data, 4 a peer failed, 5 checkpoint, 6
// numerics, 130 and 143 interrupted after a checkpoint. Never exits by itself. To be called once, from
// main(): while it trains it handles SIGINT, SIGTERM and SIGUSR1. Nothing else of the library touches
// signals.
int Main(int argc, char** argv, const Models& models = {});

}  // namespace lockstep

#endif  // LOCKSTEP_MAIN_H_
