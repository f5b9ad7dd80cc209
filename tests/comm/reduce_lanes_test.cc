// The promise of the communication layer: the sum over lanes has the same bits at every world size, on every
// backend, with every algorithm, asynchronous or not, and they are those of the tree evaluated by one loop.
#include <cmath>
#include <cstring>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "runtime/core/thread.h"
#include "tests/testing/run_ranks.h"

namespace lockstep::comm {
namespace {

using testing::RunRanks;
using testing::RunRanksOptions;

// Values of very different sizes, so that any other order of additions gives other bits.
template <typename T>
std::vector<T> LaneGradient(int lane, size_t count) {
  std::vector<T> values(count);
  uint64_t state = 0x9e3779b97f4a7c15u * (lane + 1);
  for (T& value : values) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    const double unit = static_cast<double>(state >> 11) / 9007199254740992.0 - 0.5;
    value = static_cast<T>(std::ldexp(unit, static_cast<int>(state >> 60) * 3 - 24));
  }
  return values;
}

// The sums of all nodes of a tree, one loop each.
template <typename T>
struct Tree {
  Tree(int lanes, size_t count) : lanes(lanes), count(count) { Sum({0, lanes}); }
  const std::vector<T>& Sum(LaneRange node) {
    std::vector<T>& sum = sums[{node.begin, node.end}];
    if (!sum.empty() || count == 0) return sum;
    if (node.size() == 1) return sum = LaneGradient<T>(node.begin, count);
    const int split = SplitOf(node);
    const std::vector<T>& left = Sum({node.begin, split});
    const std::vector<T>& right = Sum({split, node.end});
    const LaneArithmetic modes;
    sum.resize(count);
    for (size_t i = 0; i < count; ++i) sum[i] = left[i] + right[i];
    return sum;
  }
  const std::vector<T>& At(LaneRange node) const { return sums.at({node.begin, node.end}); }

  const int lanes;
  const size_t count;
  std::map<std::pair<int, int>, std::vector<T>> sums;
};

enum class Memory { kPlain, kPeer };

// Reduces a lane gradient of `count` elements in `buckets` works in flight together, in place or not.
template <typename T>
absl::Status ReduceAndCompare(Communicator& comm, const Tree<T>& tree, int buckets, bool in_place,
                              Memory memory) {
  const int lanes = tree.lanes;
  const size_t count = tree.count;
  const std::vector<T> none;
  const std::vector<T>& want = count > 0 ? tree.At({0, lanes}) : none;
  const auto subtrees = MaximalSubtrees(LanesOfRank(comm.rank(), comm.size(), lanes), lanes);
  std::vector<PeerBuffer> peer;
  std::vector<std::vector<T>> plain;
  const auto allocate = [&]() -> T* {
    if (memory == Memory::kPlain) {
      plain.emplace_back(count);
      return plain.back().data();
    }
    peer.push_back(*comm.AllocatePeerBuffer(std::max<size_t>(count, 1) * sizeof(T)));
    return peer.back().as<T>().data();
  };
  plain.reserve(subtrees.size() + 1);
  std::vector<T*> parts;
  for (LaneRange subtree : subtrees) {
    parts.push_back(allocate());
    if (count > 0) std::copy(tree.At(subtree).begin(), tree.At(subtree).end(), parts.back());
  }
  T* const result = in_place ? parts[0] : allocate();
  std::vector<std::unique_ptr<Work>> works;
  for (int bucket = 0; bucket < buckets; ++bucket) {
    const size_t begin = count * bucket / buckets, n = count * (bucket + 1) / buckets - begin;
    std::vector<LanePart> bucket_parts;
    for (size_t i = 0; i < parts.size(); ++i)
      bucket_parts.push_back({subtrees[i], {parts[i] + begin, n, kDTypeOf<T>}});
    works.push_back(comm.StartReduceLanes(bucket_parts, lanes, {result + begin, n, kDTypeOf<T>}));
  }
  for (const auto& work : works) RETURN_IF_ERROR(work->Wait());
  if (count > 0 && std::memcmp(result, want.data(), count * sizeof(T)) != 0) {
    return absl::InternalError(absl::StrCat("other bits: ", lanes, " lanes on ", comm.size(), " ranks, ",
                                            count, " elements in ", buckets, " buckets",
                                            in_place ? ", in place" : ""));
  }
  return absl::OkStatus();
}

template <typename T>
void TestWorlds(const std::string& backend, int lanes, size_t count,
                const std::vector<std::string>& algorithms, const std::vector<int>& worlds) {
  const Tree<T> tree(lanes, count);
  for (int world : worlds) {
    for (const std::string& algorithm : algorithms) {
      const RunRanksOptions options{
          .size = world, .backend = backend, .algorithm = algorithm, .what = "reduce_lanes"};
      const absl::Status status = RunRanks(options, [&](Communicator& comm) -> absl::Status {
        for (Memory memory : {Memory::kPlain, Memory::kPeer}) {
          for (bool in_place : {false, true}) {
            RETURN_IF_ERROR(ReduceAndCompare<T>(comm, tree, 1, in_place, memory));
            RETURN_IF_ERROR(ReduceAndCompare<T>(comm, tree, 5, in_place, memory));
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
