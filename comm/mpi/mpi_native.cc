#include "comm/mpi/mpi_native.h"

#include <algorithm>
#include <climits>
#include <cstring>
#include <numeric>

namespace lockstep::comm {
namespace {

// Reductions and broadcasts go by pieces, which bounds the copy of an input that is also the output.
constexpr size_t kPieceBytes = size_t{64} << 20;

bool Reduces(Collective kind) {
  return kind == Collective::kAllReduce || kind == Collective::kReduce || kind == Collective::kReduceScatter;
}

// 16-bit floats are moved as what they are stored in; nothing is computed with them.
MPI_Datatype TypeOf(DType dtype) {
  switch (dtype) {
    case DType::kU8:
      return MPI_UINT8_T;
    case DType::kI8:
      return MPI_INT8_T;
    case DType::kI32:
      return MPI_INT32_T;
    case DType::kU32:
      return MPI_UINT32_T;
    case DType::kI64:
      return MPI_INT64_T;
    case DType::kU64:
      return MPI_UINT64_T;
    case DType::kF16:
    case DType::kBF16:
      return MPI_UINT16_T;
    case DType::kF32:
      return MPI_FLOAT;
    case DType::kF64:
      return MPI_DOUBLE;
  }
  return MPI_DATATYPE_NULL;
}

// What every library adds and compares as the hardware does. Open MPI's vector code saturates sums of 8 bits
// (its issue 8045) and compares unsigned numbers as signed ones on some processors (its issue 10648).
bool ReducedAlikeEverywhere(DType dtype) {
  return dtype == DType::kF32 || dtype == DType::kF64 || dtype == DType::kI32 || dtype == DType::kI64;
}

MPI_Op OpOf(ReduceOp op) {
  switch (op) {
    case ReduceOp::kProd:
      return MPI_PROD;
    case ReduceOp::kMin:
      return MPI_MIN;
    case ReduceOp::kMax:
      return MPI_MAX;
    default:
      return MPI_SUM;
  }
}

const std::byte* At(const void* data, size_t offset) { return static_cast<const std::byte*>(data) + offset; }
std::byte* At(void* data, size_t offset) { return static_cast<std::byte*>(data) + offset; }

void Copy(void* to, const void* from, size_t size_bytes) {
  if (size_bytes > 0) std::memcpy(to, from, size_bytes);
}

bool Overlap(const void* a, size_t a_bytes, const void* b, size_t b_bytes) {
  const auto a_begin = reinterpret_cast<uintptr_t>(a), b_begin = reinterpret_cast<uintptr_t>(b);
  return a_begin < b_begin + b_bytes && b_begin < a_begin + a_bytes;
}

}  // namespace

bool MpiNative::Can(const Call& call) const {
  if (call.algorithm != Algorithm::kAuto || call.wire != Wire::kFull || IsPointToPoint(call.kind))
    return false;
  if (call.lanes > 0) return false;
  const DType dtype = call.dtype();
  if (Reduces(call.kind) && (call.op == ReduceOp::kAvg || !ReducedAlikeEverywhere(dtype))) return false;
  switch (call.kind) {
    case Collective::kAllReduce:
    case Collective::kReduce:
    case Collective::kBroadcast:
      return true;
    case Collective::kAllToAll:
      if (!call.counts.empty()) return false;
      break;
    case Collective::kReduceScatter:
    case Collective::kAllGather:
    case Collective::kGather:
    case Collective::kScatter:
      break;
    default:
      return false;
  }
  const size_t whole = call.counts.empty()
                           ? LongestPart(call, size_) * size_
                           : std::accumulate(call.counts.begin(), call.counts.end(), size_t{0});
  return whole <=
         std::min(largest_count_, INT_MAX / SizeOf(dtype));  // offsets in bytes are ints in some libraries
}

absl::Status MpiNative::Run(const Call& call) {
  switch (call.kind) {
    case Collective::kAllReduce:
    case Collective::kReduce:
      return AllReduceOrReduce(call);
    case Collective::kBroadcast:
      return Broadcast(call);
    case Collective::kReduceScatter:
      return ReduceScatter(call);
    case Collective::kAllGather:
      return AllGather(call);
    case Collective::kGather:
      return Gather(call);
    case Collective::kScatter:
      return Scatter(call);
    case Collective::kAllToAll:
      return AllToAll(call);
    default:
      return absl::InternalError("not a collective of MPI's own");
  }
}

absl::Status MpiNative::Do(const char* what, const Start& start) {
  MPI_Request request = MPI_REQUEST_NULL;
  {
    std::lock_guard<std::mutex> lock(transport_.session().mutex());
    if (transport_.session().abandoned()) return transport_.session().usable();
    RETURN_IF_ERROR(MpiStatus(what, start(&request)));
  }
  return transport_.Await(request, what);
}

const void* MpiNative::Apart(const void* data, size_t bytes, const void* other, size_t other_bytes) {
  if (!Overlap(data, bytes, other, other_bytes)) return data;
  scratch_.resize(std::max(scratch_.size(), bytes));
  Copy(scratch_.data(), data, bytes);
  return scratch_.data();
}

MpiNative::Parts MpiNative::PartsOf(const Call& call) const {
  Parts parts;
  for (int rank = 0; rank < size_ && !call.counts.empty(); ++rank) {
    const Share part = PartOf(call, rank, size_);
    parts.counts.push_back(static_cast<int>(part.count()));
    parts.offsets.push_back(static_cast<int>(part.begin));
  }
  return parts;
}

absl::Status MpiNative::AllReduceOrReduce(const Call& call) {
  const size_t element = SizeOf(call.dtype()), count = call.in.count;
  const size_t piece = std::max<size_t>(1, std::min(largest_count_, kPieceBytes / element));
  const bool takes = call.kind == Collective::kAllReduce || rank_ == call.root;
  for (size_t begin = 0; begin < count; begin += piece) {
    const size_t n = std::min(piece, count - begin);
    const void* in = At(call.in.data, begin * element);
    void* const out = takes ? At(call.out.data, begin * element) : nullptr;
    if (takes) in = Apart(in, n * element, out, n * element);
    const MPI_Datatype type = TypeOf(call.dtype());
    const MPI_Op op = OpOf(call.op);
    if (call.kind == Collective::kAllReduce) {
      RETURN_IF_ERROR(Do("MPI_Iallreduce", [&](MPI_Request* request) {
        return MPI_Iallreduce(in, out, static_cast<int>(n), type, op, transport_.comm(), request);
      }));
    } else {
      RETURN_IF_ERROR(Do("MPI_Ireduce", [&](MPI_Request* request) {
        return MPI_Ireduce(in, out, static_cast<int>(n), type, op, call.root, transport_.comm(), request);
      }));
    }
  }
  return absl::OkStatus();
}

absl::Status MpiNative::Broadcast(const Call& call) {
  const size_t element = SizeOf(call.dtype()), count = call.out.count;
  const size_t piece = std::max<size_t>(1, std::min(largest_count_, kPieceBytes / element));
  for (size_t begin = 0; begin < count; begin += piece) {
    const size_t n = std::min(piece, count - begin);
    RETURN_IF_ERROR(Do("MPI_Ibcast", [&](MPI_Request* request) {
      return MPI_Ibcast(At(call.out.data, begin * element), static_cast<int>(n), TypeOf(call.dtype()),
                        call.root, transport_.comm(), request);
    }));
  }
  return absl::OkStatus();
}

absl::Status MpiNative::ReduceScatter(const Call& call) {
  const size_t element = SizeOf(call.dtype()), bytes = call.out.count * element;
  const Parts parts = PartsOf(call);
  // A result that lies within the input would overwrite what is still to be sent.
  const bool within = Overlap(call.out.data, bytes, call.in.data, call.in.count * element);
  if (within) scratch_.resize(std::max(scratch_.size(), bytes));
  void* const out = within ? scratch_.data() : call.out.data;
  const MPI_Datatype type = TypeOf(call.dtype());
  const MPI_Op op = OpOf(call.op);
  RETURN_IF_ERROR(Do("MPI_Ireduce_scatter", [&](MPI_Request* request) {
    return parts.counts.empty()
               ? MPI_Ireduce_scatter_block(call.in.data, out, static_cast<int>(call.out.count), type, op,
                                           transport_.comm(), request)
               : MPI_Ireduce_scatter(call.in.data, out, parts.counts.data(), type, op, transport_.comm(),
                                     request);
  }));
  if (within) Copy(call.out.data, out, bytes);
  return absl::OkStatus();
}

absl::Status MpiNative::AllGather(const Call& call) {
  const size_t element = SizeOf(call.dtype());
  const Parts parts = PartsOf(call);
  const void* const in =
      Apart(call.in.data, call.in.count * element, call.out.data, call.out.count * element);
  const int count = static_cast<int>(call.in.count);
  const MPI_Datatype type = TypeOf(call.dtype());
  return Do("MPI_Iallgather", [&](MPI_Request* request) {
    return parts.counts.empty()
               ? MPI_Iallgather(in, count, type, call.out.data, count, type, transport_.comm(), request)
               : MPI_Iallgatherv(in, count, type, call.out.data, parts.counts.data(), parts.offsets.data(),
                                 type, transport_.comm(), request);
  });
}

absl::Status MpiNative::Gather(const Call& call) {
  const size_t element = SizeOf(call.dtype());
  const Parts parts = PartsOf(call);
  const bool root = rank_ == call.root;
  const void* in = call.in.data;
  if (root) in = Apart(in, call.in.count * element, call.out.data, call.out.count * element);
  const int count = static_cast<int>(call.in.count);
  const MPI_Datatype type = TypeOf(call.dtype());
  return Do("MPI_Igather", [&](MPI_Request* request) {
    return parts.counts.empty()
               ? MPI_Igather(in, count, type, call.out.data, count, type, call.root, transport_.comm(),
                             request)
               : MPI_Igatherv(in, count, type, call.out.data, parts.counts.data(), parts.offsets.data(), type,
                              call.root, transport_.comm(), request);
  });
}

absl::Status MpiNative::Scatter(const Call& call) {
  const size_t element = SizeOf(call.dtype()), bytes = call.out.count * element;
  const Parts parts = PartsOf(call);
  const bool within =
      rank_ == call.root && Overlap(call.out.data, bytes, call.in.data, call.in.count * element);
  if (within) scratch_.resize(std::max(scratch_.size(), bytes));
  void* const out = within ? scratch_.data() : call.out.data;
  const int count = static_cast<int>(call.out.count);
  const MPI_Datatype type = TypeOf(call.dtype());
  RETURN_IF_ERROR(Do("MPI_Iscatter", [&](MPI_Request* request) {
    return parts.counts.empty() ? MPI_Iscatter(call.in.data, count, type, out, count, type, call.root,
                                               transport_.comm(), request)
                                : MPI_Iscatterv(call.in.data, parts.counts.data(), parts.offsets.data(), type,
                                                out, count, type, call.root, transport_.comm(), request);
  }));
  if (within) Copy(call.out.data, out, bytes);
  return absl::OkStatus();
}

absl::Status MpiNative::AllToAll(const Call& call) {
  const size_t bytes = call.in.count * SizeOf(call.dtype());
  const void* const in = Apart(call.in.data, bytes, call.out.data, bytes);
  const int count = static_cast<int>(call.in.count / size_);
  const MPI_Datatype type = TypeOf(call.dtype());
  return Do("MPI_Ialltoall", [&](MPI_Request* request) {
    return MPI_Ialltoall(in, count, type, call.out.data, count, type, transport_.comm(), request);
  });
}

}  // namespace lockstep::comm
