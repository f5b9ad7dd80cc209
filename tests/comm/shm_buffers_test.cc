// Shared memory must not care who keeps data where: some ranks in peer buffers, some in ordinary memory.
#include <algorithm>
#include <cstddef>
#include <iterator>
#include <vector>

#include "comm/communicator.h"
#include "gtest/gtest.h"
#include "runtime/core/aligned_buffer.h"
#include "tests/testing/run_ranks.h"

namespace lockstep::comm {
namespace {

// Around what travels with a greeting (16 bytes), one-shots, staged results, and pieces of 1 MiB.
constexpr size_t kCounts[] = {1, 4, 5, 255, 1000, 1025, 3333, 4096, 5000, 9000, 300'000};

// Rank r keeps its data in a peer buffer where bit r of `in_peer_buffers` is set.
absl::Status SumEverywhere(Communicator& comm, unsigned in_peer_buffers, bool in_place) {
  const size_t most = *std::max_element(std::begin(kCounts), std::end(kCounts));
  PeerBuffer shared;
  AlignedBuffer<float> own;
  float* data = nullptr;
  if ((in_peer_buffers >> comm.rank() & 1) != 0) {
    ASSIGN_OR_RETURN(shared, comm.AllocatePeerBuffer(2 * most * sizeof(float)));
    data = shared.as<float>().data();
  } else {
    own = AlignedBuffer<float>(2 * most);
    data = own.data();
  }
  const int ranks = comm.size();
  for (const size_t count : kCounts) {
    for (int round = 0; round < 3; ++round) {
      float* const out = in_place ? data : data + most;
      for (size_t i = 0; i < count; ++i) data[i] = static_cast<float>((comm.rank() + round + i) % 7);
      RETURN_IF_ERROR(comm.AllReduce(ConstBuffer(data, count, DType::kF32), Buffer{out, count, DType::kF32},
                                     ReduceOp::kSum));
      for (size_t i = 0; i < count; ++i) {
        float sum = 0;
        for (int rank = 0; rank < ranks; ++rank) sum += static_cast<float>((rank + round + i) % 7);
        if (out[i] != sum)
          return absl::InternalError(absl::StrCat("element ", i, " of ", count, " is ", out[i]));
      }
      float most_of_all = static_cast<float>(comm.rank());
      float* const at_root = comm.rank() == 1 ? out : nullptr;
      std::fill(data, data + count, most_of_all);
      RETURN_IF_ERROR(comm.Reduce(ConstBuffer(data, count, DType::kF32),
                                  Buffer{at_root, at_root == nullptr ? 0 : count, DType::kF32},
                                  ReduceOp::kMax, 1));
      if (at_root != nullptr && at_root[count - 1] != static_cast<float>(ranks - 1))
        return absl::InternalError("the greatest is another");
    }
  }
  return absl::OkStatus();
}

TEST(ShmBuffersTest, AnyMixtureOfMemory) {
  for (const int size : {2, 3}) {
    for (unsigned mixture = 0; mixture < 1u << size; ++mixture) {
      for (const bool in_place : {false, true}) {
        const absl::Status status =
            testing::RunRanks({.size = size, .backend = "shm"},
                              [&](Communicator& comm) { return SumEverywhere(comm, mixture, in_place); });
        EXPECT_TRUE(status.ok()) << size << " ranks, mixture " << mixture << ": " << status;
      }
    }
  }
}

// Nobody waits for those who still copy the results of a call, so the calls that follow at once must leave
// alone what is still read. More ranks than most machines have cores make some slow.
TEST(ShmBuffersTest, CallsThatFollowAtOnceDoNotOverrunSlowRanks) {
  constexpr size_t kFollowing[] = {3, 20'000, 4, 2000, 300'000, 5, 20'000, 20'000, 1, 12'000, 300'000, 2000};
  for (const bool plain : {false, true}) {
    const absl::Status status =
        testing::RunRanks({.size = 5, .backend = "shm"}, [&](Communicator& comm) -> absl::Status {
          constexpr size_t kMost = 300'000;
          ASSIGN_OR_RETURN(const PeerBuffer shared, comm.AllocatePeerBuffer(kMost * sizeof(float)));
          AlignedBuffer<float> own(kMost);
          float* const data = plain ? own.data() : shared.as<float>().data();
          const int ranks = comm.size();
          for (int round = 0; round < 60; ++round) {
            const size_t count = kFollowing[static_cast<size_t>(round) % std::size(kFollowing)];
            for (size_t i = 0; i < count; ++i) data[i] = static_cast<float>(comm.rank() + round + i % 5);
            RETURN_IF_ERROR(comm.AllReduce(ConstBuffer(data, count, DType::kF32),
                                           Buffer{data, count, DType::kF32}, ReduceOp::kSum));
            for (size_t i = 0; i < count; ++i) {
              const auto sum =
                  static_cast<float>(static_cast<size_t>(ranks * (ranks - 1) / 2 + ranks * round) +
                                     static_cast<size_t>(ranks) * (i % 5));
              if (data[i] != sum)
                return absl::InternalError(absl::StrCat("round ", round, ": element ", i, " is ", data[i]));
            }
          }
          return absl::OkStatus();
        });
    EXPECT_TRUE(status.ok()) << (plain ? "ordinary memory: " : "peer buffers: ") << status;
  }
}

}  // namespace
}  // namespace lockstep::comm
