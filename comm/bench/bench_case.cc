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

constexpr BenchKind kKinds[] = {{Collective::kAllReduce, true, false},
                                {Collective::kReduceScatter, true, false},
                                {Collective::kAllGather, false, false},
                                {Collective::kBroadcast, false, true},
                                {Collective::kReduce, true, true},
                                {Collective::kGather, false, true},
                                {Collective::kScatter, false, true},
                                {Collective::kAllToAll, false, false},
                                {Collective::kSendRecv, false, false},
                                {Collective::kReduceLanes, true, false},
                                {Collective::kReduceScatter, true, false, true},
                                {Collective::kAllGather, false, false, true},
                                {Collective::kGather, false, true, true},
                                {Collective::kScatter, false, true, true},
                                {Collective::kAllToAll, false, false, true}};

std::string NameOfKind(const BenchKind& kind) {
  return absl::StrCat(NameOf(kind.collective), kind.uneven ? "_v" : "");
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

double BenchKind::MovedPerByte(int ranks) const {
  const double n = ranks;
  switch (collective) {
    case Collective::kAllReduce:
    case Collective::kReduceLanes:
      return (3 * n - 1) / n;  // reduces 1/n of n inputs, then copies the rest
    case Collective::kReduceScatter:
      return 1 + 1 / n;
    case Collective::kReduce:
      return (n + 1) / n + 2 * (n - 1) / n;  // the root: its share, then the others'
    case Collective::kScatter:
      return 2 / n;
    default:
      return 2;  // a copy
  }
}

const std::vector<std::string>& BenchCollectives() {
  static const auto& names = *[] {
    auto* const all = new std::vector<std::string>;
    for (const BenchKind& kind : kKinds) all->push_back(NameOfKind(kind));
    return all;
  }();
  return names;
}

absl::StatusOr<BenchKind> BenchKindFromName(const std::string& name) {
  for (const BenchKind& kind : kKinds) {
    if (name == NameOfKind(kind)) return kind;
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

Share PartOfRank(const BenchPoint& p, int rank, int ranks) {
  const size_t r = rank, n = ranks, whole = p.count * n;
  if (!p.kind.uneven) return {r * p.count, (r + 1) * p.count};
  const size_t unit = whole / (n * (n + 1) / 2);
  return {unit * (r * (r + 1) / 2), r + 1 == n ? whole : unit * ((r + 1) * (r + 2) / 2)};
}

std::vector<size_t> CountsOf(const BenchPoint& p, int rank, int ranks) {
  const bool shifted = p.kind.collective == Collective::kAllToAll;
  std::vector<size_t> counts;
  for (int peer = 0; peer < ranks; ++peer) {
    counts.push_back(PartOfRank(p, shifted ? (rank + peer) % ranks : peer, ranks).count());
  }
  return counts;
}

absl::StatusOr<std::byte*> BenchBuffers::Allocate() {
  const size_t bytes = options_.max_bytes + static_cast<size_t>(options_.unalign) * sizeof(double);
  auto memory = options_.plain ? AllocatePlainBuffer(bytes) : comm_.AllocatePeerBuffer(bytes);
  RETURN_IF_ERROR(memory.status());
  memory_.push_back(*std::move(memory));
  return memory_.back().data();
}

absl::StatusOr<std::unique_ptr<BenchBuffers>> BenchBuffers::Make(Communicator& comm, const BenchKind& kind,
                                                                 const Options& options) {
  std::unique_ptr<BenchBuffers> made(new BenchBuffers(comm, options));
  ASSIGN_OR_RETURN(made->out_, made->Allocate());
  if (kind.collective != Collective::kReduceLanes) {
    ASSIGN_OR_RETURN(made->in_, made->Allocate());
    return made;
  }
  const LaneRange owned = LanesOfRank(comm.rank(), comm.size(), options.lanes);
  for (size_t i = 0; i < MaximalSubtrees(owned, options.lanes).size(); ++i) {
    ASSIGN_OR_RETURN(std::byte * part, made->Allocate());
    made->parts_.push_back(part);
  }
  return made;
}

// In place, a smaller side lies inside the larger one at this rank's part.
ConstBuffer BenchBuffers::In(const BenchPoint& p) const {
  const Share part = PartOfRank(p, comm_.rank(), comm_.size());
  const size_t whole = p.count * comm_.size();
  switch (p.kind.collective) {
    case Collective::kAllGather:
    case Collective::kGather: {
      const bool inside =
          p.in_place && (p.kind.collective == Collective::kAllGather || comm_.rank() == p.root);
      return {inside ? At(out_, p) + part.begin * SizeOf(p.dtype) : At(in_, p), part.count(), p.dtype};
    }
    case Collective::kReduceScatter:
    case Collective::kScatter:
    case Collective::kAllToAll:
      return {At(in_, p), whole, p.dtype};
    default:
      return {At(in_, p), p.count, p.dtype};
  }
}

Buffer BenchBuffers::Out(const BenchPoint& p) const {
  const Share part = PartOfRank(p, comm_.rank(), comm_.size());
  const size_t whole = p.count * comm_.size(), offset = part.begin * SizeOf(p.dtype);
  switch (p.kind.collective) {
    case Collective::kAllGather:
    case Collective::kGather:
      return {At(out_, p), whole, p.dtype};
    case Collective::kAllToAll:  // the v-form needs two buffers
      return {At(p.in_place && !p.kind.uneven ? in_ : out_, p), whole, p.dtype};
    case Collective::kReduceScatter:
      return {p.in_place ? At(in_, p) + offset : At(out_, p), part.count(), p.dtype};
    case Collective::kScatter:
      return {p.in_place && comm_.rank() == p.root ? At(in_, p) + offset : At(out_, p), part.count(),
              p.dtype};
    case Collective::kReduceLanes:
      return {At(p.in_place ? parts_[0] : out_, p), p.count, p.dtype};
    case Collective::kSendRecv:
      return {At(out_, p), p.count, p.dtype};  // what is sent and received need two buffers
    default:
      return {At(p.in_place ? in_ : out_, p), p.count, p.dtype};
  }
}

std::vector<LanePart> BenchBuffers::Parts(const BenchPoint& p) const {
  std::vector<LanePart> parts;
  const LaneRange owned = LanesOfRank(comm_.rank(), comm_.size(), p.lanes);
  for (LaneRange lanes : MaximalSubtrees(owned, p.lanes)) {
    parts.push_back({lanes, {At(parts_[parts.size()], p), p.count, p.dtype}});
  }
  return parts;
}

void BenchBuffers::Fill(const BenchPoint& p) {
  in_of_call_ = In(p);
  out_of_call_ = Out(p);
  if (p.kind.collective == Collective::kReduceLanes) parts_of_call_ = Parts(p);
  WithType(p.dtype, [&](auto* type) {
    using T = std::remove_pointer_t<decltype(type)>;
    if (p.kind.collective == Collective::kReduceLanes) {
      for (const LanePart& part : Parts(p)) {
        const auto table = Table<T>([&](size_t i) { return LanesValue<T>(p, part.lanes, i); });
        FillFrom(table, 0, static_cast<T*>(const_cast<void*>(part.buffer.data)), p.count);
      }
      return;
    }
    const auto table = Table<T>([&](size_t i) { return InputValue<T>(p, comm_.rank(), comm_.size(), i); });
    const bool one_buffer = p.kind.collective == Collective::kBroadcast;
    const ConstBuffer in = one_buffer ? ConstBuffer(Out(p)) : In(p);
    FillFrom(table, 0, static_cast<T*>(const_cast<void*>(in.data)), in.count);
  });
}

uint64_t BenchBuffers::CountWrong(const BenchPoint& p) const {
  return WithType(p.dtype, [&](auto* type) {
    using T = std::remove_pointer_t<decltype(type)>;
    const bool lanes = p.kind.collective == Collective::kReduceLanes;
    const int inputs = lanes ? p.lanes : comm_.size();
    const T* got = static_cast<const T*>(Out(p).data);
    uint64_t wrong = 0;
    for (const Piece& piece : ExpectedPieces(p, comm_.rank(), comm_.size())) {
      const auto table = Table<T>([&](size_t i) {
        return piece.source < 0 ? ReducedValue<T>(p, inputs, i) : InputValue<T>(p, piece.source, inputs, i);
      });
      wrong += CountDifferences(table, piece.phase, got + piece.begin, piece.count);
    }
    return wrong;
  });
}

std::unique_ptr<Work> BenchBuffers::Start(const BenchPoint& p, const CallOptions& o) {
  if (p.kind.uneven) return nullptr;
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
  const ConstBuffer in = in_of_call_;
  const Buffer out = out_of_call_;
  if (p.kind.uneven) return RunUneven(p, o);
  switch (p.kind.collective) {
    case Collective::kAllReduce:
      return comm_.AllReduce(in, out, p.op, o);
    case Collective::kReduceScatter:
      return comm_.ReduceScatter(in, out, p.op, o);
    case Collective::kAllGather:
      return comm_.AllGather(in, out, o);
    case Collective::kBroadcast:
      return comm_.Broadcast(out, p.root, o);
    case Collective::kReduce:
      return comm_.Reduce(in, out, p.op, p.root, o);
    case Collective::kGather:
      return comm_.Gather(in, out, p.root, o);
    case Collective::kScatter:
      return comm_.Scatter(in, out, p.root, o);
    case Collective::kAllToAll:
      return comm_.AllToAll(in, out, o);
    case Collective::kSendRecv:
      return comm_.SendRecv(in, (comm_.rank() + 1) % comm_.size(), out,
                            (comm_.rank() + comm_.size() - 1) % comm_.size(), o);
    default:
      return comm_.ReduceLanes(parts_of_call_, p.lanes, out, o);
  }
}

absl::Status BenchBuffers::RunUneven(const BenchPoint& p, const CallOptions& o) {
  const std::vector<size_t> counts = CountsOf(p, comm_.rank(), comm_.size());
  switch (p.kind.collective) {
    case Collective::kReduceScatter:
      return comm_.ReduceScatterV(In(p), counts, Out(p), p.op, o);
    case Collective::kAllGather:
      return comm_.AllGatherV(In(p), Out(p), counts, o);
    case Collective::kGather:
      return comm_.GatherV(In(p), Out(p), counts, p.root, o);
    case Collective::kScatter:
      return comm_.ScatterV(In(p), counts, Out(p), p.root, o);
    default:
      return comm_.AllToAllV(In(p), counts, Out(p), counts, o);
  }
}

}  // namespace lockstep::comm
