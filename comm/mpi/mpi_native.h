// The collectives that the MPI library has itself, in their non-blocking forms, polled by the transport.
#ifndef LOCKSTEP_COMM_MPI_MPI_NATIVE_H_
#define LOCKSTEP_COMM_MPI_MPI_NATIVE_H_

#include <cstddef>
#include <functional>
#include <vector>

#include "comm/call.h"
#include "comm/mpi/mpi_library.h"
#include "comm/mpi/mpi_transport.h"

namespace lockstep::comm {

// As rank `rank` of `size`. Not thread-safe.
class MpiNative {
 public:
  // One call of MPI takes at most `largest_count` elements: its counts and offsets are ints.
  MpiNative(MpiTransport& transport, int rank, int size, size_t largest_count)
      : transport_(transport), rank_(rank), size_(size), largest_count_(largest_count) {}

  // Whether the library can carry `call` out as we promise it; the same on all ranks. It cannot where it has
  // no such type (16-bit floats), operation (kAvg) or order (reduce_lanes), where libraries compute otherwise
  // than we promise (8-bit and unsigned integers), where an algorithm was asked for by name, where only the two
  // ends of a message know its length (all_to_all_v), and where parts lie beyond an int.
  bool Can(const Call& call) const;

  // All ranks are known to have made this call. Results are never computed in place, whatever the buffers:
  // MPI_IN_PLACE on some ranks only may make a library choose another algorithm there, and hang.
  absl::Status Run(const Call& call);

 private:
  using Start = std::function<int(MPI_Request* request)>;
  absl::Status Do(const char* what, const Start& start);
  absl::Status AllReduceOrReduce(const Call& call);
  absl::Status Broadcast(const Call& call);
  absl::Status ReduceScatter(const Call& call);
  absl::Status AllGather(const Call& call);
  absl::Status Gather(const Call& call);
  absl::Status Scatter(const Call& call);
  absl::Status AllToAll(const Call& call);
  // `data`, or a copy of it where it lies within the `other_bytes` at `other`.
  const void* Apart(const void* data, size_t bytes, const void* other, size_t other_bytes);
  // Counts and offsets of all parts, as MPI takes them.
  struct Parts {
    std::vector<int> counts, offsets;
  };
  Parts PartsOf(const Call& call) const;

  MpiTransport& transport_;
  const int rank_, size_;
  const size_t largest_count_;
  std::vector<std::byte> scratch_;  // grows to the largest need
};

}  // namespace lockstep::comm

#endif  // LOCKSTEP_COMM_MPI_MPI_NATIVE_H_
