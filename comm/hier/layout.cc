#include "comm/hier/layout.h"

#include <algorithm>
#include <map>

namespace lockstep::comm {

int Layout::MachineOf(int rank) const {
  for (int m = 0; m < machine_count(); ++m) {
    if (std::binary_search(machines[m].begin(), machines[m].end(), rank)) return m;
  }
  return -1;
}

int Layout::LocalOf(int rank) const {
  const std::vector<int>& ranks = machines[MachineOf(rank)];
  return static_cast<int>(std::lower_bound(ranks.begin(), ranks.end(), rank) - ranks.begin());
}

int Layout::columns() const {
  size_t least = machines[0].size();
  for (const auto& ranks : machines) least = std::min(least, ranks.size());
  return static_cast<int>(least);
}

bool Layout::contiguous() const {
  return std::all_of(machines.begin(), machines.end(), [](const std::vector<int>& ranks) {
    return ranks.back() - ranks.front() + 1 == static_cast<int>(ranks.size());
  });
}

bool Layout::uniform() const {
  return std::all_of(machines.begin(), machines.end(),
                     [&](const std::vector<int>& ranks) { return ranks.size() == machines[0].size(); });
}

Layout LayoutOf(const std::vector<std::string>& machine_of_rank, int rank) {
  Layout layout;
  std::map<std::string, int> numbers;
  for (int r = 0; r < static_cast<int>(machine_of_rank.size()); ++r) {
    const auto [at, fresh] = numbers.emplace(machine_of_rank[r], layout.machine_count());
    if (fresh) layout.machines.emplace_back();
    layout.machines[at->second].push_back(r);
  }
  layout.machine = layout.MachineOf(rank);
  layout.local = layout.LocalOf(rank);
  return layout;
}

}  // namespace lockstep::comm
