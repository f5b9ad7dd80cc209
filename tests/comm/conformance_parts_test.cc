// Collectives whose parts differ in length, algorithms beside the automatic ones, 16-bit wires, and split
// communicators, on every backend and world size, against plain loops.
#include <algorithm>
#include <string>
#include <tuple>
#include <vector>

#include "absl/strings/match.h"
#include "comm/reduce/half.h"
#include "gtest/gtest.h"
#include "tests/comm/conformance_checks.h"
#include "tests/testing/run_ranks.h"

namespace lockstep::comm {
namespace {

using testing::RunRanks;
using testing::RunRanksOptions;

class PartsTest : public ::testing::TestWithParam<std::tuple<std::string, int>> {
 protected:
  RunRanksOptions Options(const std::string& algorithm = "auto") const {
    return {.size = std::get<1>(GetParam()),
            .backend = std::get<0>(GetParam()),
            .algorithm = algorithm,
            .what = absl::StrCat(std::get<0>(GetParam()), " of ", std::get<1>(GetParam()))};
  }
  void Expect(const RunRanksOptions& options, const testing::RankFunction& f) {
    const absl::Status status = RunRanks(options, f);
    EXPECT_TRUE(status.ok()) << status;
  }
};

TEST_P(PartsTest, PartsOfAnyLength) {
  Expect(Options(), [](Communicator& comm) -> absl::Status {
    for (const auto& counts : Lengths(comm.size())) RETURN_IF_ERROR(CheckVForms(comm, counts));
    return absl::OkStatus();
  });
}

TEST_P(PartsTest, PartsOfAnyLengthRoundTheRing) {
  Expect(Options("ring"), [](Communicator& comm) -> absl::Status {
    for (const auto& counts : Lengths(comm.size())) RETURN_IF_ERROR(CheckVForms(comm, counts));
    return absl::OkStatus();
  });
}

TEST_P(PartsTest, AllToAllOfAnyLength) { Expect(Options(), CheckAllToAllV); }

TEST_P(PartsTest, CountsThatDifferAreAnErrorEverywhere) {
  if (std::get<1>(GetParam()) == 1) return;
  const auto statuses = testing::StatusesOfRanks(Options(), [](Communicator& comm) -> absl::Status {
    std::vector<size_t> counts(comm.size(), 4);
    if (comm.rank() == 1) counts = {5, 4}, counts.resize(comm.size(), 3);  // the own part as the others say
    std::vector<int32_t> mine(counts[comm.rank()]), whole(Sum(counts));
    return comm.AllGatherV(Of(mine), Of(whole), counts);
  });
  for (const absl::Status& status : statuses) {
    EXPECT_TRUE(absl::StrContains(status.message(), "the ranks called different things")) << status;
  }
}

TEST_P(PartsTest, EveryAlgorithmOfEveryCollective) {
  for (const char* algorithm : {"one_shot", "two_shot", "ring", "tree", "halving_doubling"}) {
    Expect(Options(algorithm), [&](Communicator& comm) -> absl::Status {
      const int rank = comm.rank(), ranks = comm.size();
      for (const size_t n : {size_t{0}, size_t{1}, size_t{1000}, size_t{200'003}}) {
        for (int root = 0; root < ranks; root += std::max(1, ranks - 1)) {
          std::vector<int32_t> data(n), want(n);
          for (size_t i = 0; i < n; ++i) data[i] = rank == root ? Value(root, i) : -1;
          for (size_t i = 0; i < n; ++i) want[i] = Value(root, i);
          RETURN_IF_ERROR(comm.Broadcast(Of(data), root));
          RETURN_IF_ERROR(Check(absl::StrCat("broadcast by ", algorithm), data, want));

          std::vector<int32_t> in(n), sum(n);
          for (size_t i = 0; i < n; ++i) in[i] = Value(rank, i);
          RETURN_IF_ERROR(comm.Reduce(Of(in), rank == root ? Of(sum) : Buffer{}, ReduceOp::kSum, root));
          for (size_t i = 0; i < n; ++i) {
            want[i] = 0;
            for (int r = 0; r < ranks; ++r) want[i] += Value(r, i);
          }
          if (rank == root) RETURN_IF_ERROR(Check(absl::StrCat("reduce by ", algorithm), sum, want));
        }
      }
      return absl::OkStatus();
    });
  }
}

float Rounded(float value, Wire wire) {
  if (wire == Wire::kBF16) {
    BFloat16 half;
    FromFloat(value, half);
    return ToFloat(half);
  }
  Float16 half;
  FromFloat(value, half);
  return ToFloat(half);
}

// The balanced tree over lanes, every input and sum rounded.
float TreeSum(const std::vector<float>& leaves, size_t begin, size_t end, Wire wire) {
  if (end - begin == 1) return Rounded(leaves[begin], wire);
  const size_t middle = begin + (end - begin) / 2;
  return Rounded(TreeSum(leaves, begin, middle, wire) + TreeSum(leaves, middle, end, wire), wire);
}

TEST_P(PartsTest, A16BitWireRoundsEveryNodeOfTheTree) {
  constexpr int kLanes = 16;
  const auto leaf = [](int lane, size_t i) {
    return 1.0f / static_cast<float>(1 + (lane * 37 + i * 11) % 97) * (i % 3 == 0 ? -1 : 1);
  };
  for (const char* algorithm : {"auto", "one_shot", "two_shot"}) {
    for (const Wire wire : {Wire::kBF16, Wire::kF16}) {
      Expect(Options(algorithm), [&](Communicator& comm) -> absl::Status {
        for (const size_t n : {size_t{1}, size_t{1000}, size_t{150'001}}) {
          // A rank's parts: the rounded sums of its complete subtrees.
          const auto subtrees = MaximalSubtrees(LanesOfRank(comm.rank(), comm.size(), kLanes), kLanes);
          std::vector<std::vector<float>> sums(subtrees.size(), std::vector<float>(n));
          std::vector<float> want(n), got(n);
          for (size_t i = 0; i < n; ++i) {
            std::vector<float> leaves(kLanes);
            for (int lane = 0; lane < kLanes; ++lane) leaves[lane] = leaf(lane, i);
            want[i] = TreeSum(leaves, 0, kLanes, wire);
            for (size_t s = 0; s < subtrees.size(); ++s) {
              sums[s][i] = TreeSum(leaves, subtrees[s].begin, subtrees[s].end, wire);
            }
          }
          std::vector<LanePart> parts;
          for (size_t s = 0; s < subtrees.size(); ++s) parts.push_back({subtrees[s], Of(sums[s])});
          CallOptions o;
          o.wire = wire;
          RETURN_IF_ERROR(comm.ReduceLanes(parts, kLanes, Of(got), o));
          RETURN_IF_ERROR(Check("reduce_lanes", got, want));
        }
        return absl::OkStatus();
      });
    }
  }
}

TEST_P(PartsTest, SplitMakesIndependentWorlds) {
  Expect(Options(), [](Communicator& comm) -> absl::Status {
    // Odd and even ranks, in reverse order; the last rank stays out.
    const bool out = comm.rank() == comm.size() - 1 && comm.size() > 2;
    ASSIGN_OR_RETURN(const auto part, comm.Split(out ? -1 : comm.rank() % 2, -comm.rank()));
    if (out != (part == nullptr)) return absl::InternalError("who is out gets null");
    if (part != nullptr) {
      std::vector<int32_t> mine = {comm.rank()}, all(part->size());
      RETURN_IF_ERROR(part->AllGather(Of(mine), Of(all)));
      if (!std::is_sorted(all.rbegin(), all.rend())) return absl::InternalError("the keys' order");
      if (all[part->rank()] != comm.rank()) return absl::InternalError("the own place");
      for (const int32_t member : all) {
        if (member % 2 != comm.rank() % 2) return absl::InternalError("another color's rank");
      }
      RETURN_IF_ERROR(part->Barrier());
    }
    return comm.Barrier();  // the parent goes on
  });
}

INSTANTIATE_TEST_SUITE_P(
    Worlds, PartsTest, ::testing::Combine(::testing::Values("shm", "tcp"), ::testing::Values(1, 2, 3, 4, 7)),
    [](const auto& info) { return absl::StrCat(std::get<0>(info.param), std::get<1>(info.param)); });

// As several machines: of two ranks each, of one and two, and with ranks dealt out in turn.
INSTANTIATE_TEST_SUITE_P(Machines, PartsTest,
                         ::testing::Values(std::make_tuple("hier_pairs", 4), std::make_tuple("hier_pairs", 6),
                                           std::make_tuple("hier_uneven", 3),
                                           std::make_tuple("hier_uneven", 5),
                                           std::make_tuple("hier_mixed", 5)),
                         [](const auto& info) {
                           return absl::StrCat(std::get<0>(info.param), std::get<1>(info.param));
                         });

}  // namespace
}  // namespace lockstep::comm
