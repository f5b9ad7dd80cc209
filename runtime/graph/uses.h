// Who reads a value.
#ifndef LOCKSTEP_RUNTIME_GRAPH_USES_H_
#define LOCKSTEP_RUNTIME_GRAPH_USES_H_

#include <vector>

#include "runtime/graph/graph.h"

namespace lockstep::graph {

struct Uses {
  std::vector<std::vector<int>>
      readers;             // by root value: nodes that read it or a view of it, ascending, once each
  std::vector<int> roots;  // by root value: how often Graph::Roots names it

  explicit Uses(const Graph& graph);
  bool unused(ValueId id) const { return readers[id].empty() && roots[id] == 0; }
};

}  // namespace lockstep::graph

#endif  // LOCKSTEP_RUNTIME_GRAPH_USES_H_
