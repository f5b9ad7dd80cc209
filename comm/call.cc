#include "comm/call.h"

#include <algorithm>
#include <cstring>
#include <iterator>
#include <numeric>

#include "absl/strings/str_join.h"
#include "runtime/core/names.h"

namespace lockstep::comm {
namespace {

constexpr const char* kCollectiveNames[] = {
    "barrier", "all_reduce", "reduce_scatter", "all_gather", "broadcast", "reduce",   "gather",
    "scatter", "all_to_all", "reduce_lanes",   "send",       "recv",      "send_recv"};
constexpr const char* kOpNames[] = {"sum", "avg", "prod", "min", "max"};
constexpr const char* kAlgorithmNames[] = {"auto", "one_shot",         "two_shot",
                                           "ring", "halving_doubling", "tree"};
constexpr const char* kWireNames[] = {"full", "bf16", "f16"};

template <size_t N>
const char* NameIn(const char* const (&names)[N], size_t index) {
  return index < N ? names[index] : "?";
}

absl::Status Invalid(const Call& call, absl::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat(NameOf(call.kind), ": ", why));
}

absl::Status CheckData(const Call& call, const char* which, const void* data, size_t count) {
  if (data != nullptr || count == 0) return absl::OkStatus();
  return Invalid(call, absl::StrCat(which, " has ", count, " elements but no data"));
}

absl::Status CheckRank(const Call& call, const char* which, int value, int size) {
  if (0 <= value && value < size) return absl::OkStatus();
  return Invalid(call, absl::StrCat(which, " ", value, " is not a rank of 0..", size - 1));
}

absl::Status CheckCounts(const Call& call, size_t in, size_t out) {
  if (call.in.dtype != call.out.dtype) {
    return Invalid(call, absl::StrCat("in is ", NameOf(call.in.dtype), ", out is ", NameOf(call.out.dtype)));
  }
  if (in == out) return absl::OkStatus();
  return Invalid(call, absl::StrCat("in has ", call.in.count, " elements and out ", call.out.count,
                                    ", which do not fit together"));
}

// The v-forms: as many counts as ranks, which add up to the larger buffer.
absl::Status CheckParts(const Call& call, const std::vector<size_t>& counts, size_t whole, int size) {
  if (counts.size() != static_cast<size_t>(size)) {
    return Invalid(call, absl::StrCat("counts for ", counts.size(), " ranks, of ", size));
  }
  size_t sum = 0;
  for (const size_t count : counts) {
    if (count > whole - sum)
      return Invalid(call, absl::StrCat("the counts exceed the buffer's ", whole, " elements"));
    sum += count;
  }
  if (sum == whole) return absl::OkStatus();
  return Invalid(call, absl::StrCat("the counts add up to ", sum, ", the buffer has ", whole, " elements"));
}

// A collective whose larger buffer holds a part for each rank; either buffer may be absent on this rank.
absl::Status CheckParted(const Call& call, int rank, int size, size_t whole, size_t part, bool has_whole,
                         bool has_part) {
  if (has_whole && has_part) RETURN_IF_ERROR(CheckCounts(call, 0, 0));  // the types
  if (call.counts.empty()) {
    return !has_whole || !has_part || whole == part * size
               ? absl::OkStatus()
               : CheckCounts(call, whole, part * size + (whole == 0));
  }
  if (has_whole) RETURN_IF_ERROR(CheckParts(call, call.counts, whole, size));
  if (call.counts.size() != static_cast<size_t>(size)) {
    return Invalid(call, absl::StrCat("counts for ", call.counts.size(), " ranks, of ", size));
  }
  if (!has_part || part == call.counts[rank]) return absl::OkStatus();
  return Invalid(call, absl::StrCat("rank ", rank, "'s part has ", part, " elements, its count says ",
                                    call.counts[rank]));
}

absl::Status ValidateAllToAll(const Call& call, int size) {
  if (!call.counts.empty() || !call.recv_counts.empty()) {
    RETURN_IF_ERROR(CheckCounts(call, 0, 0));  // the types
    if (call.in.count > 0 && call.in.data == call.out.data)
      return Invalid(call, "the v-form needs two buffers");
    RETURN_IF_ERROR(CheckParts(call, call.counts, call.in.count, size));
    return CheckParts(call, call.recv_counts, call.out.count, size);
  }
  if (call.in.count % size != 0)
    return Invalid(call, absl::StrCat(call.in.count, " elements do not divide among ", size, " ranks"));
  return CheckCounts(call, call.in.count, call.out.count);
}

absl::Status ValidateWire(const Call& call) {
  if (call.wire == Wire::kFull) return absl::OkStatus();
  if (static_cast<size_t>(call.wire) >= std::size(kWireNames)) return Invalid(call, "unknown wire format");
  const bool reduces = call.kind == Collective::kAllReduce || call.lanes > 0;
  if (!reduces || call.dtype() != DType::kF32 || (call.op != ReduceOp::kSum && call.op != ReduceOp::kAvg)) {
    return Invalid(call, absl::StrCat("a wire of ", NameOf(call.wire),
                                      " is for sums of F32 by all_reduce and reduce_lanes"));
  }
  return absl::OkStatus();
}

absl::Status ValidateLanes(const Call& call, int rank, int size) {
  if (call.out.dtype != DType::kF32 && call.out.dtype != DType::kF64) {
    return Invalid(call, absl::StrCat("lanes are F32 or F64, not ", NameOf(call.out.dtype)));
  }
  if (call.lanes < size) {
    return Invalid(call, absl::StrCat(call.lanes, " lanes are fewer than the ", size, " ranks"));
  }
  const auto subtrees = MaximalSubtrees(LanesOfRank(rank, size, call.lanes), call.lanes);
  if (call.parts.size() != subtrees.size()) {
    return Invalid(call, absl::StrCat("rank ", rank, " owns ", subtrees.size(), " maximal subtrees of ",
                                      call.lanes, " lanes but gave ", call.parts.size(), " parts"));
  }
  const bool scatters = call.kind == Collective::kReduceScatter;
  const size_t whole =
      scatters ? std::accumulate(call.counts.begin(), call.counts.end(), size_t{0}) : call.out.count;
  for (size_t i = 0; i < subtrees.size(); ++i) {
    const LanePart& part = call.parts[i];
    if (part.lanes != subtrees[i] || part.buffer.count != whole || part.buffer.dtype != call.out.dtype) {
      return Invalid(call,
                     absl::StrCat("part ", i, " must be lanes ", subtrees[i].begin, "..", subtrees[i].end - 1,
                                  " with ", whole, " ", NameOf(call.out.dtype), " elements"));
    }
    RETURN_IF_ERROR(CheckData(call, "a part", part.buffer.data, part.buffer.count));
  }
  if (!scatters) return absl::OkStatus();
  return CheckParted(call, rank, size, whole, call.out.count, /*has_whole=*/false, /*has_part=*/true);
}

absl::Status ValidatePeers(const Call& call, int rank, int size) {
  if (call.kind != Collective::kRecv) RETURN_IF_ERROR(CheckRank(call, "receiver", call.to, size));
  if (call.kind != Collective::kSend) RETURN_IF_ERROR(CheckRank(call, "sender", call.from, size));
  if (call.to == rank && call.from != rank) return Invalid(call, "a rank cannot only send to itself");
  if (call.from == rank && call.to != rank) return Invalid(call, "a rank cannot only receive from itself");
  if (call.kind == Collective::kSendRecv && call.in.count > 0 && call.in.data == call.out.data) {
    return Invalid(call, "what is sent and what is received need two buffers");
  }
  if (call.to == rank) return CheckCounts(call, call.in.count, call.out.count);
  return absl::OkStatus();
}

}  // namespace

const char* NameOf(Collective collective) {
  return NameIn(kCollectiveNames, static_cast<size_t>(collective));
}
const char* NameOf(ReduceOp op) { return NameIn(kOpNames, static_cast<size_t>(op)); }
const char* NameOf(Wire wire) { return NameIn(kWireNames, static_cast<size_t>(wire)); }
const char* NameOf(Algorithm algorithm) { return NameIn(kAlgorithmNames, static_cast<size_t>(algorithm)); }

const std::vector<std::string>& AlgorithmNames() {
  static const auto& names =
      *new std::vector<std::string>(std::begin(kAlgorithmNames), std::end(kAlgorithmNames));
  return names;
}

absl::StatusOr<Algorithm> AlgorithmFromName(absl::string_view name) {
  if (name.empty()) return Algorithm::kAuto;
  for (size_t i = 0; i < AlgorithmNames().size(); ++i) {
    if (AlgorithmNames()[i] == std::string(name)) return static_cast<Algorithm>(i);
  }
  return ConfigError(
      absl::StrCat("there is no algorithm '", name, "'; known: ", absl::StrJoin(AlgorithmNames(), ", ")));
}

absl::Status Validate(const Call& call, int rank, int size) {
  const size_t in = call.in.count, out = call.out.count;
  if (static_cast<size_t>(call.op) >= std::size(kOpNames)) return Invalid(call, "unknown operation");
  RETURN_IF_ERROR(CheckData(call, "in", call.in.data, in));
  RETURN_IF_ERROR(CheckData(call, "out", call.out.data, out));
  RETURN_IF_ERROR(ValidateWire(call));
  switch (call.kind) {
    case Collective::kBarrier:
      return absl::OkStatus();
    case Collective::kAllReduce:
      return CheckCounts(call, in, out);
    case Collective::kReduceScatter:
      if (call.lanes > 0) return ValidateLanes(call, rank, size);
      return CheckParted(call, rank, size, in, out, true, true);
    case Collective::kAllGather:
      return CheckParted(call, rank, size, out, in, true, true);
    case Collective::kAllToAll:
      return ValidateAllToAll(call, size);
    case Collective::kBroadcast:
      return CheckRank(call, "root", call.root, size);
    case Collective::kReduce:
      RETURN_IF_ERROR(CheckRank(call, "root", call.root, size));
      return rank == call.root ? CheckCounts(call, in, out) : absl::OkStatus();
    case Collective::kGather:
      RETURN_IF_ERROR(CheckRank(call, "root", call.root, size));
      return CheckParted(call, rank, size, out, in, rank == call.root, true);
    case Collective::kScatter:
      RETURN_IF_ERROR(CheckRank(call, "root", call.root, size));
      return CheckParted(call, rank, size, in, out, rank == call.root, true);
    case Collective::kReduceLanes:
      return ValidateLanes(call, rank, size);
    case Collective::kSend:
    case Collective::kRecv:
    case Collective::kSendRecv:
      return ValidatePeers(call, rank, size);
  }
  return Invalid(call, "unknown collective");
}

DType Call::dtype() const {
  const bool takes_in = kind == Collective::kReduce || kind == Collective::kGather ||
                        kind == Collective::kAllGather || kind == Collective::kSend;
  return takes_in ? in.dtype : out.dtype;
}

namespace {

// Elements of a rank's part where all are equal.
size_t EqualPart(const Call& call, int size) {
  switch (call.kind) {
    case Collective::kAllGather:
    case Collective::kGather:
      return call.in.count;
    case Collective::kAllToAll:
      return call.in.count / size;
    default:
      return call.out.count;
  }
}

Share PartAt(const std::vector<size_t>& counts, int rank) {
  const size_t begin = std::accumulate(counts.begin(), counts.begin() + rank, size_t{0});
  return {begin, begin + counts[rank]};
}

// Never 0, which says that the parts are equal.
uint64_t HashOfCounts(const std::vector<size_t>& counts) {
  uint64_t hash = 0x9e3779b97f4a7c15u;
  for (const size_t count : counts) {
    hash = (hash ^ count) * 0xff51afd7ed558ccdu;
    hash ^= hash >> 32;
  }
  return hash | 1;
}

}  // namespace

Share PartOf(const Call& call, int rank, int size) {
  if (!call.counts.empty()) return PartAt(call.counts, rank);
  const size_t each = EqualPart(call, size);
  return {rank * each, (rank + 1) * each};
}

Share ReceivedPartOf(const Call& call, int rank, int size) {
  return call.recv_counts.empty() ? PartOf(call, rank, size) : PartAt(call.recv_counts, rank);
}

size_t LongestPart(const Call& call, int size) {
  return call.counts.empty() ? EqualPart(call, size)
                             : *std::max_element(call.counts.begin(), call.counts.end());
}

CallDescriptor DescriptorOf(const Call& call, uint64_t sequence, int size) {
  CallDescriptor d;
  d.kind = static_cast<uint8_t>(call.kind);
  d.sequence = sequence;
  d.algorithm = static_cast<uint8_t>(call.algorithm);
  if (call.kind == Collective::kBarrier) return d;
  const bool takes_in = call.kind == Collective::kReduce || call.kind == Collective::kGather ||
                        call.kind == Collective::kAllGather || call.kind == Collective::kSend;
  d.dtype = static_cast<uint8_t>(call.dtype());
  d.count = takes_in ? call.in.count : call.out.count;
  if (call.kind == Collective::kAllToAll) d.count = call.counts.empty() ? d.count / size : 0;
  if (!call.counts.empty()) {
    // What every rank knows: of the v-forms all counts, of all_to_all_v only that it is one.
    d.count = call.kind == Collective::kAllToAll
                  ? 0
                  : std::accumulate(call.counts.begin(), call.counts.end(), size_t{0});
    d.parts = call.kind == Collective::kAllToAll ? 1 : HashOfCounts(call.counts);
  }
  d.wire = static_cast<uint32_t>(call.wire);
  if (call.kind == Collective::kAllReduce || call.kind == Collective::kReduceScatter ||
      call.kind == Collective::kReduce) {
    d.op = static_cast<uint8_t>(call.op);
  }
  if (call.kind == Collective::kBroadcast || call.kind == Collective::kReduce ||
      call.kind == Collective::kGather || call.kind == Collective::kScatter) {
    d.root = call.root;
  }
  d.lanes = static_cast<uint32_t>(call.lanes);
  return d;
}

std::string Describe(const CallDescriptor& d) {
  const auto kind = static_cast<Collective>(d.kind);
  std::string text = absl::StrCat(NameOf(kind), d.parts != 0 ? "_v" : "", " #", d.sequence);
  if (kind == Collective::kBarrier) return text;
  absl::StrAppend(&text, " of ", d.count, " ",
                  d.dtype <= static_cast<uint8_t>(DType::kF64) ? NameOf(static_cast<DType>(d.dtype)) : "?");
  if (kind == Collective::kAllReduce || kind == Collective::kReduceScatter || kind == Collective::kReduce) {
    absl::StrAppend(&text, ", ", NameIn(kOpNames, d.op));
  }
  if (kind == Collective::kBroadcast || kind == Collective::kReduce || kind == Collective::kGather ||
      kind == Collective::kScatter) {
    absl::StrAppend(&text, ", root ", d.root);
  }
  if (d.lanes != 0) absl::StrAppend(&text, ", ", d.lanes, " lanes");
  if (d.parts > 1) absl::StrAppend(&text, ", parts ", absl::Hex(d.parts & 0xffffffff, absl::kZeroPad8));
  if (d.wire != 0) absl::StrAppend(&text, ", wire ", NameIn(kWireNames, d.wire));
  if (d.algorithm != 0) absl::StrAppend(&text, ", ", NameIn(kAlgorithmNames, d.algorithm));
  return text;
}

absl::Status MismatchError(int rank, const CallDescriptor& mine, int peer, const CallDescriptor& theirs) {
  return PeerError(absl::StrCat("the ranks called different things: rank ", rank, " ", Describe(mine),
                                "; rank ", peer, " ", Describe(theirs),
                                ". Every rank must issue the same collectives in the same order"));
}

Share ShareOf(size_t count, int index, int shares) {
  constexpr size_t kGrain = 16;
  const size_t grains = (count + kGrain - 1) / kGrain;
  const auto cut = [&](size_t i) { return std::min(count, grains * i / shares * kGrain); };
  return {cut(index), cut(static_cast<size_t>(index) + 1)};
}

absl::Status StatusOfTrouble(int trouble, int code, absl::string_view message) {
  switch (static_cast<Trouble>(trouble)) {
    case Trouble::kConfig:
      return ConfigError(message);
    case Trouble::kData:
      return DataError(message);
    case Trouble::kCheckpoint:
      return CheckpointError(message);
    case Trouble::kNumerics:
      return NumericsError(message);
    case Trouble::kPeer:
      return code == static_cast<int>(absl::StatusCode::kDeadlineExceeded) ? DeadlineError(message)
                                                                           : PeerError(message);
    default:
      return absl::InternalError(message);
  }
}

}  // namespace lockstep::comm
