// The collectives of Front: each a Call that is run now or queued.
#include <utility>

#include "comm/front.h"
#include "comm/split.h"

namespace lockstep::comm {
namespace {

Call MakeCall(Collective kind, ConstBuffer in, Buffer out, int root = 0, ReduceOp op = ReduceOp::kSum) {
  Call call;
  call.kind = kind;
  call.in = in;
  call.out = out;
  call.root = root;
  call.op = op;
  return call;
}

Call MakeLanesCall(Collective kind, absl::Span<const LanePart> parts, int lanes, Buffer result) {
  Call call = MakeCall(kind, {}, result);
  call.parts.assign(parts.begin(), parts.end());
  call.lanes = lanes;
  return call;
}

Call WithCounts(Call call, absl::Span<const size_t> counts) {
  call.counts.assign(counts.begin(), counts.end());
  return call;
}

}  // namespace

absl::Status Front::AllReduce(ConstBuffer in, Buffer out, ReduceOp op, const CallOptions& o) {
  return RunBlocking(MakeCall(Collective::kAllReduce, in, out, 0, op), o);
}
absl::Status Front::ReduceScatter(ConstBuffer in, Buffer out, ReduceOp op, const CallOptions& o) {
  return RunBlocking(MakeCall(Collective::kReduceScatter, in, out, 0, op), o);
}
absl::Status Front::AllGather(ConstBuffer in, Buffer out, const CallOptions& o) {
  return RunBlocking(MakeCall(Collective::kAllGather, in, out), o);
}
absl::Status Front::Broadcast(Buffer buffer, int root, const CallOptions& o) {
  return RunBlocking(MakeCall(Collective::kBroadcast, {}, buffer, root), o);
}
absl::Status Front::Reduce(ConstBuffer in, Buffer out, ReduceOp op, int root, const CallOptions& o) {
  return RunBlocking(MakeCall(Collective::kReduce, in, rank_ == root ? out : Buffer{}, root, op), o);
}
absl::Status Front::Gather(ConstBuffer in, Buffer out, int root, const CallOptions& o) {
  return RunBlocking(MakeCall(Collective::kGather, in, rank_ == root ? out : Buffer{}, root), o);
}
absl::Status Front::Scatter(ConstBuffer in, Buffer out, int root, const CallOptions& o) {
  return RunBlocking(MakeCall(Collective::kScatter, rank_ == root ? in : ConstBuffer{}, out, root), o);
}
absl::Status Front::AllToAll(ConstBuffer in, Buffer out, const CallOptions& o) {
  return RunBlocking(MakeCall(Collective::kAllToAll, in, out), o);
}
absl::Status Front::Barrier(const CallOptions& o) {
  return RunBlocking(MakeCall(Collective::kBarrier, {}, {}), o);
}

absl::Status Front::ReduceScatterV(ConstBuffer in, absl::Span<const size_t> counts, Buffer out, ReduceOp op,
                                   const CallOptions& o) {
  return RunBlocking(WithCounts(MakeCall(Collective::kReduceScatter, in, out, 0, op), counts), o);
}
absl::Status Front::AllGatherV(ConstBuffer in, Buffer out, absl::Span<const size_t> counts,
                               const CallOptions& o) {
  return RunBlocking(WithCounts(MakeCall(Collective::kAllGather, in, out), counts), o);
}
absl::Status Front::GatherV(ConstBuffer in, Buffer out, absl::Span<const size_t> counts, int root,
                            const CallOptions& o) {
  return RunBlocking(
      WithCounts(MakeCall(Collective::kGather, in, rank_ == root ? out : Buffer{}, root), counts), o);
}
absl::Status Front::ScatterV(ConstBuffer in, absl::Span<const size_t> counts, Buffer out, int root,
                             const CallOptions& o) {
  return RunBlocking(
      WithCounts(MakeCall(Collective::kScatter, rank_ == root ? in : ConstBuffer{}, out, root), counts), o);
}
absl::Status Front::AllToAllV(ConstBuffer in, absl::Span<const size_t> send_counts, Buffer out,
                              absl::Span<const size_t> recv_counts, const CallOptions& o) {
  Call call = WithCounts(MakeCall(Collective::kAllToAll, in, out), send_counts);
  call.recv_counts.assign(recv_counts.begin(), recv_counts.end());
  return RunBlocking(std::move(call), o);
}

absl::StatusOr<std::unique_ptr<Communicator>> Front::Split(int color, int key, const CallOptions& o) {
  return SplitCommunicator(*this, color, key, o, options_.remake);
}

absl::Status Front::Send(ConstBuffer in, int to, const CallOptions& o) {
  Call call = MakeCall(Collective::kSend, in, {});
  call.to = to;
  return RunBlocking(std::move(call), o);
}
absl::Status Front::Recv(Buffer out, int from, const CallOptions& o) {
  Call call = MakeCall(Collective::kRecv, {}, out);
  call.from = from;
  return RunBlocking(std::move(call), o);
}
absl::Status Front::SendRecv(ConstBuffer in, int to, Buffer out, int from, const CallOptions& o) {
  Call call = MakeCall(Collective::kSendRecv, in, out);
  call.to = to;
  call.from = from;
  return RunBlocking(std::move(call), o);
}

absl::Status Front::ReduceLanes(absl::Span<const LanePart> parts, int lanes, Buffer result,
                                const CallOptions& o) {
  return RunBlocking(MakeLanesCall(Collective::kReduceLanes, parts, lanes, result), o);
}
absl::Status Front::ReduceScatterLanes(absl::Span<const LanePart> parts, int lanes,
                                       absl::Span<const size_t> counts, Buffer out, const CallOptions& o) {
  return RunBlocking(WithCounts(MakeLanesCall(Collective::kReduceScatter, parts, lanes, out), counts), o);
}
std::unique_ptr<Work> Front::StartReduceLanes(absl::Span<const LanePart> parts, int lanes, Buffer result,
                                              const CallOptions& o) {
  return Start(MakeLanesCall(Collective::kReduceLanes, parts, lanes, result), o);
}
std::unique_ptr<Work> Front::StartAllReduce(ConstBuffer in, Buffer out, ReduceOp op, const CallOptions& o) {
  return Start(MakeCall(Collective::kAllReduce, in, out, 0, op), o);
}
std::unique_ptr<Work> Front::StartReduceScatter(ConstBuffer in, Buffer out, ReduceOp op,
                                                const CallOptions& o) {
  return Start(MakeCall(Collective::kReduceScatter, in, out, 0, op), o);
}
std::unique_ptr<Work> Front::StartAllGather(ConstBuffer in, Buffer out, const CallOptions& o) {
  return Start(MakeCall(Collective::kAllGather, in, out), o);
}
std::unique_ptr<Work> Front::StartBroadcast(Buffer buffer, int root, const CallOptions& o) {
  return Start(MakeCall(Collective::kBroadcast, {}, buffer, root), o);
}
std::unique_ptr<Work> Front::StartReduceScatterLanes(absl::Span<const LanePart> parts, int lanes,
                                                     absl::Span<const size_t> counts, Buffer out,
                                                     const CallOptions& o) {
  return Start(WithCounts(MakeLanesCall(Collective::kReduceScatter, parts, lanes, out), counts), o);
}
std::unique_ptr<Work> Front::StartAllGatherV(ConstBuffer in, Buffer out, absl::Span<const size_t> counts,
                                             const CallOptions& o) {
  return Start(WithCounts(MakeCall(Collective::kAllGather, in, out), counts), o);
}

}  // namespace lockstep::comm
