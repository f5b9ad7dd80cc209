// What a rank can see to be wrong with a call by itself.
#include <numeric>

#include "absl/strings/str_cat.h"
#include "comm/call.h"

namespace lockstep::comm {
namespace {

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
  if (call.wire > Wire::kF16) return Invalid(call, "unknown wire format");
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

absl::Status Validate(const Call& call, int rank, int size) {
  const size_t in = call.in.count, out = call.out.count;
  if (call.op > ReduceOp::kMax) return Invalid(call, "unknown operation");
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

}  // namespace lockstep::comm
