#include "comm/bench/bench_case.h"

#include <algorithm>

#include "absl/strings/str_join.h"
#include "comm/bench/bench_values.h"
#include "comm/bench/comm_bench.h"
#include "comm/engine.h"

namespace lockstep::comm {
namespace {

bool TotalIsCut(Collective c) {  // the size is that of all ranks' parts together
  return c == Collective::kReduceScatter || c == Collective::kAllGather || c == Collective::kGather ||
         c == Collective::kScatter || c == Collective::kAllToAll;
}

}  // namespace

double BenchKind::BusFactor(int ranks) const {
  switch (collective) {
    case Collective::kAllReduce:
    case Collective::kReduceLanes:
      return 2.0 * (ranks - 1) / ranks;
    case Collective::kBroadcast:
    case Collective::kReduce:
    case Collective::kSendRecv:
      return 1;
    default:
      return static_cast<double>(ranks - 1) / ranks;
  }
}

const std::vector<std::string>& BenchCollectives() {
  static const auto& names = *new std::vector<std::string>{
      "all_reduce", "reduce_scatter", "all_gather", "broadcast", "reduce",
      "gather",     "scatter",        "all_to_all", "send_recv", "reduce_lanes"};
  return names;
}

absl::StatusOr<BenchKind> BenchKindFromName(const std::string& name) {
  for (const BenchKind& kind : {BenchKind{Collective::kAllReduce, true, false},
                                {Collective::kReduceScatter, true, false},
                                {Collective::kAllGather, false, false},
                                {Collective::kBroadcast, false, true},
                                {Collective::kReduce, true, true},
                                {Collective::kGather, false, true},
                                {Collective::kScatter, false, true},
                                {Collective::kAllToAll, false, false},
                                {Collective::kSendRecv, false, false},
                                {Collective::kReduceLanes, true, false}}) {
    if (name == NameOf(kind.collective)) return kind;
  }
  return ConfigError(
      absl::StrCat("there is no collective '", name, "'; known: ", absl::StrJoin(BenchCollectives(), ", ")));
}

size_t CountFor(const BenchKind& kind, size_t size_bytes, DType dtype, int ranks) {
  const size_t count = size_bytes / SizeOf(dtype);
  return TotalIsCut(kind.collective) ? count / ranks : count;
}

size_t SizeBytes(const BenchKind& kind, size_t count, DType dtype, int ranks) {
  return count * SizeOf(dtype) * (TotalIsCut(kind.collective) ? ranks : 1);
}

absl::StatusOr<std::byte*> BenchBuffers::Allocate(size_t size_bytes, bool plain) {
  auto memory = plain ? AllocatePlainBuffer(size_bytes) : comm_.AllocatePeerBuffer(size_bytes);
  RETURN_IF_ERROR(memory.status());
  memory_.push_back(*std::move(memory));
  return memory_.back().data();
}

absl::StatusOr<std::unique_ptr<BenchBuffers>> BenchBuffers::Make(Communicator& comm, const BenchKind& kind,
                                                                 int lanes, size_t max_bytes, bool plain) {
  std::unique_ptr<BenchBuffers> made(new BenchBuffers(comm));
  ASSIGN_OR_RETURN(made->out_, made->Allocate(max_bytes, plain));
  if (kind.collective != Collective::kReduceLanes) {
    ASSIGN_OR_RETURN(made->in_, made->Allocate(max_bytes, plain));
    return made;
  }
  const LaneRange owned = LanesOfRank(comm.rank(), comm.size(), lanes);
  for (size_t i = 0; i < MaximalSubtrees(owned, lanes).size(); ++i) {
    ASSIGN_OR_RETURN(std::byte * part, made->Allocate(max_bytes, plain));
    made->parts_.push_back(part);
  }
  return made;
}

// In place, a smaller side lies inside the larger one at this rank's part.
ConstBuffer BenchBuffers::In(const BenchPoint& p) const {
  const size_t n = p.count, ranks = comm_.size();
  const size_t offset = comm_.rank() * n * SizeOf(p.dtype);
  switch (p.kind.collective) {
    case Collective::kAllGather:
    case Collective::kGather: {
      const bool inside =
          p.in_place && (p.kind.collective == Collective::kAllGather || comm_.rank() == p.root);
      return {inside ? out_ + offset : in_, n, p.dtype};
    }
    case Collective::kReduceScatter:
    case Collective::kScatter:
    case Collective::kAllToAll:
      return {in_, n * ranks, p.dtype};
    default:
      return {in_, n, p.dtype};
  }
}

Buffer BenchBuffers::Out(const BenchPoint& p) const {
  const size_t n = p.count, ranks = comm_.size();
  const size_t offset = comm_.rank() * n * SizeOf(p.dtype);
  switch (p.kind.collective) {
    case Collective::kAllGather:
    case Collective::kGather:
      return {out_, n * ranks, p.dtype};
    case Collective::kAllToAll:
      return {p.in_place ? in_ : out_, n * ranks, p.dtype};
    case Collective::kReduceScatter:
      return {p.in_place ? in_ + offset : out_, n, p.dtype};
    case Collective::kScatter:
      return {p.in_place && comm_.rank() == p.root ? in_ + offset : out_, n, p.dtype};
    case Collective::kReduceLanes:
      return {p.in_place ? parts_[0] : out_, n, p.dtype};
    case Collective::kSendRecv:
      return {out_, n, p.dtype};  // what is sent and received need two buffers
    default:
      return {p.in_place ? in_ : out_, n, p.dtype};
  }
}

std::vector<LanePart> BenchBuffers::Parts(const BenchPoint& p) const {
  std::vector<LanePart> parts;
  const LaneRange owned = LanesOfRank(comm_.rank(), comm_.size(), p.lanes);
  for (LaneRange lanes : MaximalSubtrees(owned, p.lanes)) {
    parts.push_back({lanes, {parts_[parts.size()], p.count, p.dtype}});
  }
  return parts;
}

void BenchBuffers::Fill(const BenchPoint& p) {
  WithType(p.dtype, [&](auto* type) {
    using T = std::remove_pointer_t<decltype(type)>;
    if (p.kind.collective == Collective::kReduceLanes) {
      for (const LanePart& part : Parts(p)) {
        const auto table = Table<T>([&](size_t i) {
          int64_t sum = 0;
          for (int lane = part.lanes.begin; lane < part.lanes.end; ++lane)
            sum += InputNumber(p, lane, p.lanes, i);
          return sum;
        });
        FillFrom(table, 0, static_cast<T*>(const_cast<void*>(part.buffer.data)), p.count);
      }
      return;
    }
    const auto table = Table<T>([&](size_t i) { return InputNumber(p, comm_.rank(), comm_.size(), i); });
    const bool one_buffer = p.kind.collective == Collective::kBroadcast;
    const ConstBuffer in = one_buffer ? ConstBuffer(Out(p)) : In(p);
    FillFrom(table, 0, static_cast<T*>(const_cast<void*>(in.data)), in.count);
  });
}

uint64_t BenchBuffers::CountWrong(const BenchPoint& p) const {
  return WithType(p.dtype, [&](auto* type) {
    using T = std::remove_pointer_t<decltype(type)>;
    const bool lanes = p.kind.collective == Collective::kReduceLanes;
    const T* got = static_cast<const T*>(Out(p).data);
    uint64_t wrong = 0;
    for (const Piece& piece : ExpectedPieces(p, comm_.rank(), comm_.size())) {
      const int inputs = lanes ? p.lanes : comm_.size();
      const auto table = Table<T>(
          [&](size_t i) {
            return piece.source < 0 ? ReducedNumber(p, inputs, i) : InputNumber(p, piece.source, inputs, i);
          },
          p.kind.reduces && p.op == ReduceOp::kAvg ? comm_.size() : 1);
      wrong += CountDifferences(table, piece.phase, got + piece.begin, piece.count);
    }
    return wrong;
  });
}

std::unique_ptr<Work> BenchBuffers::Start(const BenchPoint& p, const CallOptions& o) {
  switch (p.kind.collective) {
    case Collective::kAllReduce:
      return comm_.StartAllReduce(In(p), Out(p), p.op, o);
    case Collective::kReduceScatter:
      return comm_.StartReduceScatter(In(p), Out(p), p.op, o);
    case Collective::kAllGather:
      return comm_.StartAllGather(In(p), Out(p), o);
    case Collective::kBroadcast:
      return comm_.StartBroadcast(Out(p), p.root, o);
    case Collective::kReduceLanes:
      return comm_.StartReduceLanes(Parts(p), p.lanes, Out(p), o);
    default:
      return nullptr;
  }
}

absl::Status BenchBuffers::Run(const BenchPoint& p, const CallOptions& o) {
  const int ranks = comm_.size(), rank = comm_.rank();
  switch (p.kind.collective) {
    case Collective::kAllReduce:
      return comm_.AllReduce(In(p), Out(p), p.op, o);
    case Collective::kReduceScatter:
      return comm_.ReduceScatter(In(p), Out(p), p.op, o);
    case Collective::kAllGather:
      return comm_.AllGather(In(p), Out(p), o);
    case Collective::kBroadcast:
      return comm_.Broadcast(Out(p), p.root, o);
    case Collective::kReduce:
      return comm_.Reduce(In(p), Out(p), p.op, p.root, o);
    case Collective::kGather:
      return comm_.Gather(In(p), Out(p), p.root, o);
    case Collective::kScatter:
      return comm_.Scatter(In(p), Out(p), p.root, o);
    case Collective::kAllToAll:
      return comm_.AllToAll(In(p), Out(p), o);
    case Collective::kSendRecv:
      return comm_.SendRecv(In(p), (rank + 1) % ranks, Out(p), (rank + ranks - 1) % ranks, o);
    default:
      return comm_.ReduceLanes(Parts(p), p.lanes, Out(p), o);
  }
}

}  // namespace lockstep::comm
