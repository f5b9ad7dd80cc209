// What a run has left behind: whether that is what the calm run leaves, and how to damage some of it.
#ifndef LOCKSTEP_TESTS_CHAOS_OUTCOME_H_
#define LOCKSTEP_TESTS_CHAOS_OUTCOME_H_

#include <string>

#include "tests/chaos/schedule.h"
#include "tests/integration/training_run.h"

namespace lockstep::testing {

// Of the undisturbed run.
struct CalmRun {
  Traces traces;
  std::string best;  // the name of its best checkpoint
};

// The undisturbed run, by one rank.
CalmRun RunCalmly(const Recipe& recipe);

// What is different about the run in `out`, which is done; "": nothing.
std::string DifferenceFrom(const CalmRun& calm, const Workspace& work, const std::string& out);

// Flips a bit of a file of the newest checkpoint, or cuts it; not of the only one, without which nothing could
// go on. False: there was nothing to damage.
bool DamageNewestCheckpoint(const Workspace& work, const std::string& out, Dice& dice);

}  // namespace lockstep::testing

#endif  // LOCKSTEP_TESTS_CHAOS_OUTCOME_H_
