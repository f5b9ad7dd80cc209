// Elementwise fusion: programs into programs, programs into epilogues of linear layers; recomputation.
#include <algorithm>
#include <optional>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "runtime/graph/fusion.h"
#include "runtime/graph/program_merge.h"
#include "runtime/graph/schedule.h"
#include "runtime/graph/sinks.h"
#include "runtime/graph/uses.h"

namespace lockstep::graph {
namespace {

using kernels::Instruction;
using kernels::OpKind;
using kernels::ProgramOp;

// A tile of every value of a program should stay in the first-level cache.
constexpr size_t kMaxInputs = 12, kMaxInstructions = 48;

bool IsLinear(const Node& node) {
  return node.kind == OpKind::kLinear || node.kind == OpKind::kLinearInputGrad;
}

bool HasProgram(const Node& node) { return node.kind == OpKind::kElementwise || IsLinear(node); }

// The program of an elementwise node or of an epilogue; a linear layer without one passes its result on.
BoundProgram ProgramOf(const Node& node) {
  if (node.kind == OpKind::kElementwise) {
    return {std::get<kernels::ProgramAttributes>(node.attributes).program, node.inputs, node.outputs};
  }
  BoundProgram bound{std::get<kernels::LinearAttributes>(node.attributes).epilogue,
                     {node.inputs.begin() + 2, node.inputs.end()},
                     node.outputs};
  if (bound.program.empty()) bound.program.outputs = {bound.program.Append({.op = ProgramOp::kResult})};
  return bound;
}

void SetProgram(Node& node, const BoundProgram& bound) {
  if (node.kind == OpKind::kElementwise) {
    std::get<kernels::ProgramAttributes>(node.attributes).program = bound.program;
    node.inputs = bound.inputs;
  } else {
    std::get<kernels::LinearAttributes>(node.attributes).epilogue = bound.program;
    node.inputs.resize(2);
    node.inputs.insert(node.inputs.end(), bound.inputs.begin(), bound.inputs.end());
  }
  node.outputs = bound.outputs;
}

std::string JoinNames(const std::string& first, const std::string& second) {
  if (first.size() > 60) return first;
  const size_t dot = second.rfind('.', second.size() > 5 ? second.size() - 6 : 0);  // keep "gelu.grad" whole
  return absl::StrCat(first, "+", second.substr(dot == std::string::npos ? 0 : dot + 1));
}

class ElementwiseFuser {
 public:
  explicit ElementwiseFuser(Graph& graph)
      : graph_(graph), uses_(graph), sinks_(SinkTargets(graph)), maker_(graph.values.size(), -1) {
    for (size_t n = 0; n < graph.nodes.size(); ++n) {
      for (ValueId id : graph.nodes[n].outputs) maker_[id] = static_cast<int>(n);
    }
  }

  void Run() {
    for (size_t n = 0; n < graph_.nodes.size(); ++n) {
      while (graph_.nodes[n].kind == OpKind::kElementwise && FuseOne(static_cast<int>(n))) {
      }
    }
  }

 private:
  // Merges node n with one of its producers, programs before linear layers, late ones before early ones.
  bool FuseOne(int n) {
    std::set<int> producers;
    for (ValueId id : graph_.nodes[n].inputs) {
      if (maker_[id] >= 0) producers.insert(maker_[id]);
    }
    for (bool linear : {false, true}) {
      for (auto p = producers.rbegin(); p != producers.rend(); ++p) {
        if (HasProgram(graph_.nodes[*p]) && IsLinear(graph_.nodes[*p]) == linear && TryMerge(*p, n))
          return true;
      }
    }
    return false;
  }

  // Node n must be the first to read anything of p, so that p may wait until n.
  bool Mergeable(int p, int n) const {
    const Node &producer = graph_.nodes[p], &consumer = graph_.nodes[n];
    const Shape& full = std::get<kernels::ProgramAttributes>(consumer.attributes).full_shape;
    for (ValueId id : producer.outputs) {
      if (graph_.type(id).shape != full || sinks_[id] != kNoSink) return false;
      if (!uses_.readers[id].empty() && uses_.readers[id].front() < n) return false;
    }
    for (ValueId id : consumer.inputs) {  // a view of what the merged program makes cannot be read by it
      if (graph_.values[id].source == Source::kView && maker_[graph_.Root(id)] == p) return false;
    }
    return true;
  }

  // Outputs of one node that are added to must all be sinks, of different tensors, and epilogues cannot add.
  bool SinksAllow(const Node& producer, const BoundProgram& merged) const {
    std::set<int> targets;
    size_t sinks = 0;
    for (ValueId id : merged.outputs) {
      if (sinks_[id] == kNoSink) continue;
      ++sinks;
      if (!targets.insert(sinks_[id]).second) return false;
    }
    return sinks == 0 || (sinks == merged.outputs.size() && producer.kind == OpKind::kElementwise);
  }

  bool TryMerge(int p, int n) {
    if (!Mergeable(p, n)) return false;
    const BoundProgram first = ProgramOf(graph_.nodes[p]), second = ProgramOf(graph_.nodes[n]);
    std::vector<bool> kept;
    for (ValueId id : first.outputs) {
      const std::vector<int>& readers = uses_.readers[id];
      kept.push_back(uses_.roots[id] > 0 || (!readers.empty() && readers.back() > n));
    }
    const BoundProgram merged = Merge(first, second, kept);
    if (merged.inputs.size() > kMaxInputs || merged.program.instructions.size() > kMaxInstructions)
      return false;
    if (!SinksAllow(graph_.nodes[p], merged)) return false;
    Replace(p, n, merged);
    return true;
  }

  void Replace(int p, int n, const BoundProgram& merged) {
    for (int at : {p, n}) {
      for (ValueId id : graph_.nodes[at].inputs) Forget(graph_.Root(id), at);
      for (ValueId id : graph_.nodes[at].outputs) maker_[id] = -1;
    }
    Node node = std::move(graph_.nodes[p]);
    node.name = JoinNames(node.name, graph_.nodes[n].name);
    SetProgram(node, merged);
    graph_.nodes[p] = Node{};
    graph_.nodes[n] = std::move(node);
    for (ValueId id : graph_.nodes[n].outputs) maker_[id] = n;
    for (ValueId id : graph_.nodes[n].inputs) Remember(graph_.Root(id), n);
  }

  void Forget(ValueId id, int reader) {
    std::vector<int>& readers = uses_.readers[id];
    readers.erase(std::remove(readers.begin(), readers.end(), reader), readers.end());
  }

  void Remember(ValueId id, int reader) {
    std::vector<int>& readers = uses_.readers[id];
    const auto at = std::lower_bound(readers.begin(), readers.end(), reader);
    if (at == readers.end() || *at != reader) readers.insert(at, reader);
  }

  Graph& graph_;
  Uses uses_;
  std::vector<int> sinks_, maker_;
};

// The instructions of `maker` that compute its output `id` from values that `reader` loads, or nothing.
std::optional<BoundProgram> Recipe(const BoundProgram& maker, ValueId id,
                                   const std::vector<ValueId>& loaded) {
  const auto is_loaded = [&](ValueId v) {
    return v != id && std::find(loaded.begin(), loaded.end(), v) != loaded.end();
  };
  BoundProgram recipe;
  std::vector<uint16_t> renamed;
  std::vector<bool> known;
  for (size_t i = 0; i < maker.program.instructions.size(); ++i) {
    Instruction at = maker.program.instructions[i];
    ValueId source = at.op == ProgramOp::kLoad ? maker.inputs[at.a] : kNoValue;
    for (size_t k = 0; k < maker.outputs.size(); ++k) {  // an output that is kept anyway
      if (maker.program.outputs[k] == i && is_loaded(maker.outputs[k])) source = maker.outputs[k];
    }
    const int operands = source == kNoValue ? OperandCount(at.op) : 0;
    bool usable = source != kNoValue ? is_loaded(source) : at.op != ProgramOp::kResult;
    usable = usable && (operands < 1 || known[at.a]) && (operands < 2 || known[at.b]) &&
             (operands < 3 || known[at.c]);
    known.push_back(usable);
    if (!usable) {
      renamed.push_back(0);
    } else if (source != kNoValue) {
      recipe.inputs.push_back(source);
      renamed.push_back(recipe.program.Append(
          {.op = ProgramOp::kLoad, .a = static_cast<uint16_t>(recipe.inputs.size() - 1)}));
    } else {
      if (operands > 0) at.a = renamed[at.a];
      if (operands > 1) at.b = renamed[at.b];
      if (operands > 2) at.c = renamed[at.c];
      renamed.push_back(recipe.program.Append(at));
    }
  }
  const auto output = std::find(maker.outputs.begin(), maker.outputs.end(), id) - maker.outputs.begin();
  const uint16_t value = maker.program.outputs[output];
  if (!known[value]) return std::nullopt;
  recipe.outputs = {id};
  recipe.program.outputs = {renamed[value]};
  return Pruned(recipe);
}

// The shape that every value of the node's program has.
const Shape& FullShapeOf(const Graph& graph, const Node& node) { return graph.type(node.outputs[0]).shape; }

bool IsCheap(const BoundProgram& recipe) {
  for (const Instruction& at : recipe.program.instructions) {
    if (at.op == ProgramOp::kDropout) return false;  // ten rounds of Philox
  }
  return recipe.program.instructions.size() <= 8;
}

// Puts the recipe of one value that node n loads in the place of the load.
bool RecomputeOne(Graph& graph, const Uses& uses, const std::vector<int>& maker, int n) {
  const BoundProgram reader = ProgramOf(graph.nodes[n]);
  for (ValueId id : reader.inputs) {
    const int p = maker[id];
    if (p < 0 || !HasProgram(graph.nodes[p]) || graph.nodes[p].outputs.size() < 2) continue;
    if (uses.roots[id] > 0 || uses.readers[id].size() != 1) continue;
    if (graph.type(id).shape != FullShapeOf(graph, graph.nodes[n])) continue;  // broadcasting would differ
    const std::optional<BoundProgram> recipe = Recipe(ProgramOf(graph.nodes[p]), id, reader.inputs);
    if (!recipe || !IsCheap(*recipe)) continue;
    const BoundProgram merged = Merge(*recipe, reader, {false});
    if (merged.program.instructions.size() > kMaxInstructions) continue;
    BoundProgram rest = ProgramOf(graph.nodes[p]);
    const auto k = std::find(rest.outputs.begin(), rest.outputs.end(), id) - rest.outputs.begin();
    rest.outputs.erase(rest.outputs.begin() + k);
    rest.program.outputs.erase(rest.program.outputs.begin() + k);
    SetProgram(graph.nodes[p], Pruned(rest));
    SetProgram(graph.nodes[n], merged);
    return true;
  }
  return false;
}

}  // namespace

absl::StatusOr<Graph> FuseElementwise(Graph graph) {
  ElementwiseFuser(graph).Run();
  RETURN_IF_ERROR(SortNodes(graph));
  return graph;
}

absl::StatusOr<Graph> RecomputeInsteadOfStore(Graph graph) {
  const Uses uses(graph);
  std::vector<int> maker(graph.values.size(), -1);
  for (size_t n = 0; n < graph.nodes.size(); ++n) {
    for (ValueId id : graph.nodes[n].outputs) maker[id] = static_cast<int>(n);
  }
  for (size_t n = 0; n < graph.nodes.size(); ++n) {
    while (HasProgram(graph.nodes[n]) && RecomputeOne(graph, uses, maker, static_cast<int>(n))) {
    }
  }
  RETURN_IF_ERROR(SortNodes(graph));
  return graph;
}

}  // namespace lockstep::graph
