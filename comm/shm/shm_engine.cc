#include "comm/shm/shm_engine.h"

#include <utility>

#include "comm/p2p/collectives.h"
#include "comm/shm/links.h"

namespace lockstep::comm {

absl::StatusOr<std::unique_ptr<Engine>> MakeShmEngine(Meeting& meeting, uint64_t generation,
                                                      Deadline deadline, std::vector<int> names) {
  auto arena = Arena::Make(HeadBytes(meeting.size()));
  if (arena.ok()) InitControl(**arena);
  // Without an arena this rank still goes to the meeting, so that the others hear why.
  auto links = ConnectShmLinks(meeting, generation, arena.ok() ? (*arena)->fd() : -1, deadline, names);
  if (!arena.ok()) return arena.status();
  if (!links.ok()) return links.status();
  return std::unique_ptr<Engine>(
      std::make_unique<ShmEngine>(meeting.rank(), *std::move(arena), *std::move(links), std::move(names)));
}

ShmEngine::ShmEngine(int rank, std::shared_ptr<Arena> arena, std::vector<ShmLink> links,
                     std::vector<int> names)
    : arena_(arena),
      group_(rank, std::move(arena), std::move(links), std::move(names)),
      messages_(*this, group_.rank(), group_.size()),
      posted_(group_.size()),
      taken_(group_.size()) {}

std::string ShmEngine::Describe() const {
  return absl::StrCat(size(), " ranks on one machine, over shared memory");
}

absl::Status ShmEngine::Run(const Call& call, RunContext& context) {
  group_.Enter(context);
  const bool reduces = call.kind == Collective::kAllReduce || call.kind == Collective::kReduceLanes ||
                       call.kind == Collective::kReduce;
  const bool own =
      call.algorithm == Algorithm::kAuto ||
      (reduces && (call.algorithm == Algorithm::kOneShot || call.algorithm == Algorithm::kTwoShot));
  if (!own) return RunByMessages(call, context);
  switch (call.kind) {
    case Collective::kBarrier: {
      CallSlot slot{};
      slot.descriptor = context.descriptor;
      return group_.Begin(slot, 0);
    }
    case Collective::kAllReduce:
    case Collective::kReduceLanes:
    case Collective::kReduce:
      return ReduceEverywhere(call, context);
    case Collective::kReduceScatter:
      return ReduceScatter(call, context);
    case Collective::kAllGather:
    case Collective::kBroadcast:
    case Collective::kGather:
    case Collective::kScatter:
      return RunPull(PullOf(call), context);
    case Collective::kAllToAll:
      // What a peer shows is described by counts that only it has.
      if (!call.counts.empty()) return RunByMessages(call, context);
      return RunPull(PullOf(call), context);
    case Collective::kSend:
    case Collective::kRecv:
    case Collective::kSendRecv:
      return RunMessages(*this, call, context, rank());
  }
  return absl::InternalError("unknown collective");
}

absl::Status ShmEngine::RunByMessages(const Call& call, RunContext& context) {
  CallSlot slot{};
  slot.descriptor = context.descriptor;
  RETURN_IF_ERROR(group_.Begin(slot, 0));  // a rank that calls anything else is noticed here
  return messages_.Run(call, context);
}

CallSlot ShmEngine::SlotFor(const RunContext& context, absl::Span<const void* const> inputs,
                            size_t input_bytes, const void* result, size_t result_bytes) const {
  CallSlot slot;
  slot.descriptor = context.descriptor;
  slot.crosses = group_.crosses() && inputs.size() <= kMaxParts ? 1 : 0;
  slot.unused = 0;
  slot.inputs_direct = inputs.size() <= kMaxParts ? 1 : 0;
  for (size_t i = 0; i < inputs.size() && slot.inputs_direct != 0; ++i) {
    if (!arena_->OffsetOf(inputs[i], input_bytes, slot.offsets[i])) slot.inputs_direct = 0;
  }
  for (size_t i = 0; slot.inputs_direct == 0 && slot.crosses != 0 && i < inputs.size(); ++i) {
    slot.offsets[i] = reinterpret_cast<uintptr_t>(inputs[i]);
  }
  slot.offsets[kMaxParts] = reinterpret_cast<uintptr_t>(result);
  slot.result_direct =
      result != nullptr && arena_->OffsetOf(result, result_bytes, slot.offsets[kMaxParts]) ? 1 : 0;
  return slot;
}

}  // namespace lockstep::comm
