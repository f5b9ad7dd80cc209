// The promise of the communication layer: the sum over lanes has the same bits at every world size, on every
// backend, with every algorithm, asynchronous or not, and they are those of the tree evaluated by one loop.
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "tests/comm/reduce_lanes_checks.h"
#include "tests/testing/run_ranks.h"

namespace lockstep::comm {
namespace {

using testing::RunRanks;
using testing::RunRanksOptions;

template <typename T>
void TestWorlds(const std::string& backend, int lanes, size_t count,
                const std::vector<std::string>& algorithms, const std::vector<int>& worlds) {
  const Tree<T> tree(lanes, count);
  for (int world : worlds) {
    for (const std::string& algorithm : algorithms) {
      const RunRanksOptions options{
          .size = world, .backend = backend, .algorithm = algorithm, .what = "reduce_lanes"};
      const absl::Status status = RunRanks(options, [&](Communicator& comm) -> absl::Status {
        for (LaneMemory memory : {LaneMemory::kPlain, LaneMemory::kPeer}) {
          for (bool in_place : {false, true}) {
            RETURN_IF_ERROR(ReduceAndCompare<T>(comm, tree, 1, in_place, memory));
            RETURN_IF_ERROR(ReduceAndCompare<T>(comm, tree, 5, in_place, memory));
            RETURN_IF_ERROR(ScatterAndCompare<T>(comm, tree, in_place, memory));
          }
        }
        return absl::OkStatus();
      });
      EXPECT_TRUE(status.ok()) << backend << " " << algorithm << ": " << status;
    }
  }
}

class ReduceLanesTest : public ::testing::TestWithParam<std::string> {};

TEST_P(ReduceLanesTest, SameBitsAtEveryWorldSize) {
  TestWorlds<float>(GetParam(), 8, 10007, {"auto", "one_shot", "two_shot"}, {1, 2, 3, 4, 5, 6, 7, 8});
}
TEST_P(ReduceLanesTest, SameBitsWithLanesThatAreNoPowerOfTwo) {
  TestWorlds<float>(GetParam(), 7, 1003, {"auto", "two_shot"}, {1, 2, 3, 5, 7});
  TestWorlds<float>(GetParam(), 12, 1003, {"auto"}, {5, 8});
}
TEST_P(ReduceLanesTest, SameBitsInDoubles) {
  TestWorlds<double>(GetParam(), 8, 5003, {"auto"}, {1, 2, 3, 8});
}
TEST_P(ReduceLanesTest, SmallAndEmpty) {
  for (size_t count : {0, 1, 5, 15, 17})
    TestWorlds<float>(GetParam(), 8, count, {"one_shot", "two_shot"}, {1, 3, 5});
}
TEST_P(ReduceLanesTest, ManySegments) { TestWorlds<float>(GetParam(), 4, 1500007, {"auto"}, {2, 3}); }

INSTANTIATE_TEST_SUITE_P(Backends, ReduceLanesTest,
                         ::testing::Values("shm", "tcp", "hier_pairs", "hier_uneven", "hier_mixed"),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace lockstep::comm
