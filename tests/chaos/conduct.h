// Takes a run through a schedule and judges what became of it.
#ifndef LOCKSTEP_TESTS_CHAOS_CONDUCT_H_
#define LOCKSTEP_TESTS_CHAOS_CONDUCT_H_

#include <map>
#include <string>

#include "tests/chaos/outcome.h"
#include "tests/chaos/schedule.h"

namespace lockstep::testing {

// What happened, counted.
struct Tally {
  int schedules = 0;
  int failures = 0;
  int starts = 0;                     // of whole jobs
  int recoveries = 0;                 // generations that went on in place
  int restarts = 0;                   // of single ranks
  int all_again = 0;                  // of all ranks by their supervisor
  int heals = 0;                      // goings back after memory had changed
  std::map<std::string, int> faults;  // that really happened, by kind
  std::map<std::string, int> places;  // of those at fault points, by point
  void Add(const Tally& other);
};

struct Outcome {
  bool good = false;
  std::string why;     // it is not
  std::string folder;  // what is kept of a run that is not
  double seconds = 0;
  Tally tally;
};

struct ConductOptions {
  double timeout_seconds = 60;  // of the whole schedule; one that takes longer has failed
  bool keep = false;            // the folder, also of one that went well
};

// Blocking; from any thread. `calm`: of the schedule's recipe.
Outcome Conduct(const Schedule& schedule, const CalmRun& calm, const ConductOptions& options);

}  // namespace lockstep::testing

#endif  // LOCKSTEP_TESTS_CHAOS_CONDUCT_H_
