// The first lines of a run: what runs, what was chosen in place of what, and where ranks, lanes, threads and
// cores fit badly. Pure functions of facts, so that every sentence can be tested.
#ifndef LOCKSTEP_RUNTIME_TRAIN_BANNER_H_
#define LOCKSTEP_RUNTIME_TRAIN_BANNER_H_

#include <string>
#include <vector>

namespace lockstep::train {

struct BannerFacts {
  int ranks = 1;
  int machines = 1;
  std::string transport;               // as the communicator names itself: "shm", "tcp over eth0", "self"
  std::vector<std::string> fallbacks;  // "shm: /dev/shm is full; tcp instead"
  int lanes = 1;
  int global_batch = 1;
  int accumulate = 1;
  int threads = 1;                // lane threads of a rank, as they will run
  bool threads_set = false;       // execution.threads was given; else `threads` follows from the cores
  int cores = 1;                  // that this rank may run on, as the launcher bound it
  int machine_cores = 1;          // of this rank's machine
  int local_ranks = 1;            // on this rank's machine
  std::string launcher = "none";  // comm::World::launcher: "openmpi", "slurm", "lockstep", ...
};

// How well `lanes` fill ranks x threads: lanes / (R ceil(lanes / R)) with R = ranks * threads, in (0, 1].
double LaneEfficiency(int lanes, int ranks, int threads);

// "2 ranks on 1 machine, shm, 8 lanes (4 a rank), batch 64 = 8 x 8", then one line a fallback.
std::vector<std::string> BannerLines(const BannerFacts& facts);

// What to change, most important first; empty when all fits. Nothing it names changes the result unless it
// says so.
std::vector<std::string> BannerAdvice(const BannerFacts& facts);

}  // namespace lockstep::train

#endif  // LOCKSTEP_RUNTIME_TRAIN_BANNER_H_
