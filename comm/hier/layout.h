// Which rank is on which machine. Pure data.
#ifndef LOCKSTEP_COMM_HIER_LAYOUT_H_
#define LOCKSTEP_COMM_HIER_LAYOUT_H_

#include <string>
#include <vector>

namespace lockstep::comm {

struct Layout {
  std::vector<std::vector<int>> machines;  // their ranks, ascending; ordered by their first ranks
  int machine = 0;                         // of this rank
  int local = 0;                           // this rank's place among its machine's

  int machine_count() const { return static_cast<int>(machines.size()); }
  const std::vector<int>& mine() const { return machines[machine]; }
  int MachineOf(int rank) const;
  int LocalOf(int rank) const;
  // How many ranks of every machine have counterparts on every other: the least number of ranks of a machine.
  int columns() const;
  // Every machine's ranks are consecutive numbers.
  bool contiguous() const;
  // All machines have equally many ranks.
  bool uniform() const;
};

// Ranks with equal names are of one machine.
Layout LayoutOf(const std::vector<std::string>& machine_of_rank, int rank);

}  // namespace lockstep::comm

#endif  // LOCKSTEP_COMM_HIER_LAYOUT_H_
