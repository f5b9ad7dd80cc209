#include "comm/hier/hier_engine.h"

#include <algorithm>
#include <utility>

namespace lockstep::comm {
namespace {

// Who waits for others that wait gives them time to say who is really late.
constexpr absl::Duration kGrace = absl::Milliseconds(250);

// Of a piece that each column's rank reduces between machines, for each machine: the link stands still
// between the steps of the ring, so a step should be long; and the network does nothing yet while the first
// piece is collected.
constexpr size_t kColumnBytes = size_t{2} << 20;
// Smaller arrays take one column only: fewer messages.
constexpr size_t kOneColumnBytes = size_t{64} << 10;

// This rank's column of the world: everyone who has the same place on another machine.
std::vector<int> ColumnOf(const Layout& layout) {
  std::vector<int> members;
  if (layout.local >= layout.columns()) return members;
  for (const auto& ranks : layout.machines) members.push_back(ranks[layout.local]);
  return members;
}

}  // namespace

HierEngine::HierEngine(Layout layout, int rank, int size, std::unique_ptr<Engine> inside,
                       std::unique_ptr<Mesh> mesh, std::string between)
    : layout_(std::move(layout)),
      rank_(rank),
      size_(size),
      contiguous_(layout_.contiguous()),
      uniform_(layout_.uniform()),
      inside_(std::move(inside)),
      mesh_(std::move(mesh)),
      between_(std::move(between)),
      flat_(*mesh_, rank, size),
      column_(*mesh_, ColumnOf(layout_)),
      machines_(column_, layout_.machine, layout_.machine_count(), kColumnBytes) {}

std::string HierEngine::Describe() const {
  return absl::StrCat(size_, " ranks on ", layout_.machine_count(), " machines: shm inside, ", between_,
                      " between");
}

absl::StatusOr<PeerBuffer> HierEngine::AllocatePeerBuffer(size_t size_bytes) {
  return inside_ != nullptr ? inside_->AllocatePeerBuffer(size_bytes) : AllocatePlainBuffer(size_bytes);
}

void HierEngine::SetCostModel(const CostModel& model) {
  flat_.SetCostModel(model);
  machines_.SetCostModel(model);
}

void HierEngine::NoteProgress() {
  if (inside_ != nullptr) inside_->NoteProgress();
  mesh_->NoteProgress();
}

void HierEngine::Interrupt(const absl::Status& reason) {
  if (inside_ != nullptr) inside_->Interrupt(reason);
  mesh_->Interrupt(reason);
}

void HierEngine::ReportFailure(const absl::Status& reason) {
  if (inside_ != nullptr) inside_->ReportFailure(reason);
  mesh_->ReportFailure(reason);
}

bool HierEngine::RunsFlat(const Call& call) const {
  const bool rounds_once = call.dtype() == DType::kF16 || call.dtype() == DType::kBF16;
  switch (call.kind) {
    case Collective::kBarrier:
    case Collective::kBroadcast:
      return false;
    case Collective::kAllReduce:
    case Collective::kReduce:
      return rounds_once;
    case Collective::kReduceLanes:
      return !contiguous_;
    case Collective::kReduceScatter:
      if (call.lanes > 0) return !contiguous_;
      return rounds_once || !contiguous_ || !uniform_;
    case Collective::kAllGather:
      return !contiguous_ || !uniform_;
    default:
      return true;
  }
}

absl::Status HierEngine::RunFlat(const Call& call, RunContext& context) {
  mesh_->Enter(context);
  return flat_.Run(call, context);
}

absl::Status HierEngine::Run(const Call& call, RunContext& context) {
  if (RunsFlat(call)) return RunFlat(call, context);
  Stages stages{call, context, context, context, SizeOf(call.dtype())};
  stages.between.clock = context.clock.Later(kGrace);
  stages.collect.clock = context.clock;  // with its beginning
  stages.spread.clock = context.clock.Later(2 * kGrace);
  mesh_->Enter(stages.between);
  switch (call.kind) {
    case Collective::kBarrier:
      return Barrier(stages);
    case Collective::kBroadcast:
      return Broadcast(stages);
    case Collective::kAllGather:
      return AllGather(stages);
    case Collective::kReduceScatter:
      return call.lanes > 0 ? ReduceScatterLanes(call, context) : ReduceScatter(stages);
    default:
      return Reduce(stages);
  }
}

// As ReduceLanes, of which each rank keeps its part: between machines every column travels once, which is less
// than if every rank sent each owner what it has.
absl::Status HierEngine::ReduceScatterLanes(const Call& call, RunContext& context) {
  Call whole = call;
  whole.kind = Collective::kReduceLanes;
  whole.counts.clear();
  const ConstBuffer& first = call.parts[0].buffer;
  whole.out = {const_cast<void*>(first.data), first.count, first.dtype};  // as the interface says
  RETURN_IF_ERROR(Run(whole, context));
  const size_t element = SizeOf(call.dtype());
  const auto* const part =
      static_cast<const std::byte*>(first.data) + PartOf(call, rank_, size_).begin * element;
  if (part != call.out.data) CopyBytes(call.out.data, part, call.out.count * element);
  return absl::OkStatus();
}

absl::Status HierEngine::RunInside(Call call, RunContext& context) {
  if (inside_ == nullptr) return absl::OkStatus();
  return inside_->Run(call, context);
}

// By the algorithm that was asked for, where so many machines have it.
absl::Status HierEngine::RunBetween(Call call, RunContext& context) {
  if (!CheckAlgorithm(call, call.algorithm, layout_.machine_count()).ok()) call.algorithm = Algorithm::kAuto;
  return machines_.Run(call, context);
}

absl::Status HierEngine::RunStages(StagedCollective collective) {
  collective.interrupt_inside = [this](const absl::Status& reason) {
    if (inside_ != nullptr) inside_->Interrupt(reason);
  };
  collective.interrupt_between = [this](const absl::Status& reason) { mesh_->Interrupt(reason); };
  return links_.Run(collective);
}

absl::Status HierEngine::Barrier(Stages& stages) {
  Call call;  // a barrier
  RETURN_IF_ERROR(RunInside(call, stages.collect));
  if (layout_.local == 0) RETURN_IF_ERROR(RunBetween(call, stages.between));
  return RunInside(call, stages.spread);
}

HierEngine::Cut HierEngine::CutOf(size_t count, size_t element) const {
  const int columns = count * element <= kOneColumnBytes ? 1 : layout_.columns();
  const size_t piece = kColumnBytes / element * columns * layout_.machine_count();
  return {count, piece, columns};
}

Share HierEngine::Cut::Piece(size_t k) const {
  return {std::min(count, k * piece), std::min(count, (k + 1) * piece)};
}

Share HierEngine::Cut::Column(size_t k, int local) const {
  const Share whole = Piece(k);
  if (local >= columns) return {whole.end, whole.end};
  const Share share = ShareOf(whole.count(), local, columns);
  return {whole.begin + share.begin, whole.begin + share.end};
}

std::vector<size_t> HierEngine::Cut::Columns(size_t k, int locals) const {
  std::vector<size_t> counts;
  for (int local = 0; local < locals; ++local) counts.push_back(Column(k, local).count());
  return counts;
}

LaneRange HierEngine::LanesOfMachine(int machine, int lanes) const {
  return {LanesOfRank(layout_.machines[machine].front(), size_, lanes).begin,
          LanesOfRank(layout_.machines[machine].back(), size_, lanes).end};
}

}  // namespace lockstep::comm
