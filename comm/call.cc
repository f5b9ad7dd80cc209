#include "comm/call.h"

#include <algorithm>
#include <cstring>

#include "absl/strings/str_join.h"
#include "runtime/core/names.h"

namespace lockstep::comm {
namespace {

constexpr const char* kCollectiveNames[] = {
    "barrier", "all_reduce", "reduce_scatter", "all_gather", "broadcast", "reduce",   "gather",
    "scatter", "all_to_all", "reduce_lanes",   "send",       "recv",      "send_recv"};
constexpr const char* kOpNames[] = {"sum", "avg", "prod", "min", "max"};
constexpr const char* kAlgorithmNames[] = {"auto", "one_shot", "two_shot", "ring"};

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

bool IsHalf(DType dtype) { return dtype == DType::kF16 || dtype == DType::kBF16; }

absl::Status ValidateLanes(const Call& call, int rank, int size) {
  if (call.out.dtype != DType::kF32 && call.out.dtype != DType::kF64) {
    return Invalid(call, absl::StrCat("lanes are F32 or F64, not ", NameOf(call.out.dtype)));
  }
  if (call.lanes < size) {
    return Invalid(call, absl::StrCat(call.lanes, " lanes are fewer than the ", size, " ranks"));
  }
  if (call.algorithm == Algorithm::kRing)
    return Invalid(call, "a ring adds in its own order, not in the lane tree's");
  const auto subtrees = MaximalSubtrees(LanesOfRank(rank, size, call.lanes), call.lanes);
  if (call.parts.size() != subtrees.size()) {
    return Invalid(call, absl::StrCat("rank ", rank, " owns ", subtrees.size(), " maximal subtrees of ",
                                      call.lanes, " lanes but gave ", call.parts.size(), " parts"));
  }
  for (size_t i = 0; i < subtrees.size(); ++i) {
    const LanePart& part = call.parts[i];
    if (part.lanes != subtrees[i] || part.buffer.count != call.out.count ||
        part.buffer.dtype != call.out.dtype) {
      return Invalid(call,
                     absl::StrCat("part ", i, " must be lanes ", subtrees[i].begin, "..", subtrees[i].end - 1,
                                  " with ", call.out.count, " ", NameOf(call.out.dtype), " elements"));
    }
    RETURN_IF_ERROR(CheckData(call, "a part", part.buffer.data, part.buffer.count));
  }
  return absl::OkStatus();
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
  const size_t in = call.in.count, out = call.out.count, ranks = size;
  if (static_cast<size_t>(call.op) >= std::size(kOpNames)) return Invalid(call, "unknown operation");
  RETURN_IF_ERROR(CheckData(call, "in", call.in.data, in));
  RETURN_IF_ERROR(CheckData(call, "out", call.out.data, out));
  switch (call.kind) {
    case Collective::kBarrier:
      return absl::OkStatus();
    case Collective::kAllReduce:
      if (call.algorithm == Algorithm::kRing && IsHalf(call.out.dtype)) {
        return Invalid(call, "a ring would round 16-bit floats at every hop; use two_shot");
      }
      return CheckCounts(call, in, out);
    case Collective::kReduceScatter:
      return CheckCounts(call, in, out * ranks);
    case Collective::kAllGather:
      return CheckCounts(call, in * ranks, out);
    case Collective::kAllToAll:
      if (in % ranks != 0)
        return Invalid(call, absl::StrCat(in, " elements do not divide among ", size, " ranks"));
      return CheckCounts(call, in, out);
    case Collective::kBroadcast:
      return CheckRank(call, "root", call.root, size);
    case Collective::kReduce:
      RETURN_IF_ERROR(CheckRank(call, "root", call.root, size));
      return rank == call.root ? CheckCounts(call, in, out) : absl::OkStatus();
    case Collective::kGather:
      RETURN_IF_ERROR(CheckRank(call, "root", call.root, size));
      return rank == call.root ? CheckCounts(call, in * ranks, out) : absl::OkStatus();
    case Collective::kScatter:
      RETURN_IF_ERROR(CheckRank(call, "root", call.root, size));
      return rank == call.root ? CheckCounts(call, in, out * ranks) : absl::OkStatus();
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
  if (call.kind == Collective::kAllToAll) d.count /= size;
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

uint64_t HashOf(const CallDescriptor& descriptor) {
  uint64_t words[4];
  std::memcpy(words, &descriptor, sizeof words);
  uint64_t hash = 0x9e3779b97f4a7c15u;
  for (uint64_t word : words) {
    hash = (hash ^ word) * 0xff51afd7ed558ccdu;
    hash ^= hash >> 32;
  }
  return hash;
}

std::string Describe(const CallDescriptor& d) {
  const auto kind = static_cast<Collective>(d.kind);
  std::string text = absl::StrCat(NameOf(kind), " #", d.sequence);
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
  if (kind == Collective::kReduceLanes) absl::StrAppend(&text, ", ", d.lanes, " lanes");
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
