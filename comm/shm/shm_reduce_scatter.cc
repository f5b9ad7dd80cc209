// ShmEngine: every rank reduces its part.
#include <algorithm>

#include "comm/shm/shm_engine.h"

namespace lockstep::comm {

absl::Status ShmEngine::ReduceScatter(const Call& call, const RunContext& context) {
  const ReductionPlan& plan = plans_.For(call, size());
  const size_t element = SizeOf(call.dtype()), bytes = PartOf(call, size() - 1, size()).end * element;
  const Pointers<const void*> inputs = InputsOf(call);  // this rank's
  ShowSlot(inputs, bytes, nullptr, 0);
  RETURN_IF_ERROR(group_.Begin(context.descriptor));
  bool direct = true;
  for (int peer = 0; peer < size(); ++peer) direct = direct && group_.SlotOf(peer).inputs_direct != 0;
  if (!direct) return ReduceScatterStaged(call, plan, inputs);
  const Share own = PartOf(call, rank(), size());
  Pointers<const void*> at;
  for (const auto& [owner, index] : plan.inputs) {
    const std::byte* base = group_.At(owner, group_.SlotOf(owner).offsets[index], bytes);
    if (base == nullptr) {
      return PeerError(absl::StrCat("rank ", group_.NameOf(owner), " named memory that it has not"));
    }
    at.push_back(base + own.begin * element);
  }
  plan.program->Run(at.data(), call.out.data, call.out.count);
  return group_.Barrier("reduce");
}

// Each input of a rank has a place for each part in that rank's area.
absl::Status ShmEngine::ReduceScatterStaged(const Call& call, const ReductionPlan& plan,
                                            const Pointers<const void*>& inputs) {
  const size_t element = SizeOf(call.dtype()), places = static_cast<size_t>(plan.most_inputs) * size();
  const size_t piece = RoundDown(kStageBytes / places / element, 16), longest = LongestPart(call, size());
  const size_t place_bytes = piece * element;
  const auto piece_of = [&](int rank, size_t begin) {
    const Share part = PartOf(call, rank, size());
    return Share{std::min(part.begin + begin, part.end), std::min(part.begin + begin + piece, part.end)};
  };
  Pointers<const void*> at(plan.inputs.size());
  int parity = 0;
  for (size_t begin = 0; begin < longest; begin += piece, parity ^= 1) {
    const size_t area = kStageInOffset + parity * kStageBytes;
    const Share mine = piece_of(rank(), begin);
    for (size_t i = 0; i < inputs.size(); ++i) {
      for (int peer = 0; peer < size(); ++peer) {
        if (peer == rank()) continue;
        const Share theirs = piece_of(peer, begin);
        CopyBytes(group_.At(rank(), area + (i * size() + peer) * place_bytes, place_bytes),
                  static_cast<const std::byte*>(inputs[i]) + theirs.begin * element, theirs.count() * element,
                  StagedStores(theirs.count() * element));
      }
    }
    RETURN_IF_ERROR(group_.Barrier("show"));
    for (size_t i = 0; i < plan.inputs.size(); ++i) {
      const auto [owner, index] = plan.inputs[i];
      at[i] = owner == rank()
                  ? static_cast<const std::byte*>(inputs[index]) + mine.begin * element
                  : group_.At(owner, area + (index * size() + rank()) * place_bytes, mine.count() * element);
    }
    plan.program->Run(at.data(), static_cast<std::byte*>(call.out.data) + begin * element, mine.count());
  }
  return group_.Barrier("reduce");
}

}  // namespace lockstep::comm
