// The `lockstep` program as a function, so that a program with models of its own can be the same command
// line.
#ifndef LOCKSTEP_LAUNCHER_PROGRAM_H_
#define LOCKSTEP_LAUNCHER_PROGRAM_H_

#include "runtime/nn/registry.h"

namespace lockstep::launcher {

// Parses the command line, runs what it asks for and returns the exit code of the process (docs/DESIGN.md,
// section 7). `models` are all models that a configuration may name; null: the built-in ones. Borrowed for
// the call. Installs signal handlers where a command needs them, and throws nothing.
int RunProgram(int argc, char** argv, const nn::ModelRegistry* models);

}  // namespace lockstep::launcher

#endif  // LOCKSTEP_LAUNCHER_PROGRAM_H_
