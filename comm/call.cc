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
  // Of all_to_all_v no count is common to all ranks.
  const bool counted = kind != Collective::kAllToAll || d.parts == 0;
  absl::StrAppend(&text, " of ", counted ? absl::StrCat(d.count, " ") : "",
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
