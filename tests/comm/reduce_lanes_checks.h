// The sum over lanes against the tree evaluated by one loop, for ranks as threads (reduce_lanes_test) and as
// processes (conform_main).
#ifndef LOCKSTEP_TESTS_COMM_REDUCE_LANES_CHECKS_H_
#define LOCKSTEP_TESTS_COMM_REDUCE_LANES_CHECKS_H_

#include <cmath>
#include <cstring>
#include <map>
#include <utility>
#include <vector>

#include "comm/communicator.h"
#include "runtime/core/thread.h"

namespace lockstep::comm {

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

enum class LaneMemory { kPlain, kPeer };

// Reduces a lane gradient of `count` elements in `buckets` works in flight together, in place or not.
template <typename T>
absl::Status ReduceAndCompare(Communicator& comm, const Tree<T>& tree, int buckets, bool in_place,
                              LaneMemory memory) {
  const int lanes = tree.lanes;
  const size_t count = tree.count;
  const std::vector<T> none;
  const std::vector<T>& want = count > 0 ? tree.At({0, lanes}) : none;
  const auto subtrees = MaximalSubtrees(LanesOfRank(comm.rank(), comm.size(), lanes), lanes);
  std::vector<PeerBuffer> peer;
  std::vector<std::vector<T>> plain;
  const auto allocate = [&]() -> T* {
    if (memory == LaneMemory::kPlain) {
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

// The same of a reduce-scatter whose parts have different lengths, some of them none.
template <typename T>
absl::Status ScatterAndCompare(Communicator& comm, const Tree<T>& tree, bool in_place, LaneMemory memory) {
  const int lanes = tree.lanes;
  const std::vector<T> none;
  const std::vector<T>& want = tree.count > 0 ? tree.At({0, lanes}) : none;
  std::vector<size_t> counts;  // the first ranks get ever less; the last one what is left
  size_t left = tree.count;
  for (int rank = 0; rank < comm.size(); ++rank) {
    counts.push_back(rank + 1 == comm.size() ? left : rank % 3 == 1 ? 0 : left / 2);
    left -= counts.back();
  }
  size_t begin = 0;
  for (int rank = 0; rank < comm.rank(); ++rank) begin += counts[rank];
  const size_t own = counts[comm.rank()];
  const auto subtrees = MaximalSubtrees(LanesOfRank(comm.rank(), comm.size(), lanes), lanes);
  std::vector<std::vector<T>> plain;
  std::vector<PeerBuffer> peer;
  std::vector<LanePart> parts;
  plain.reserve(subtrees.size());
  T* first = nullptr;
  for (const LaneRange subtree : subtrees) {
    T* data = nullptr;
    if (memory == LaneMemory::kPlain) {
      plain.emplace_back(tree.count + 1);
      data = plain.back().data();
    } else {
      peer.push_back(*comm.AllocatePeerBuffer((tree.count + 1) * sizeof(T)));
      data = peer.back().as<T>().data();
    }
    if (tree.count > 0) std::copy(tree.At(subtree).begin(), tree.At(subtree).end(), data);
    if (first == nullptr) first = data;
    parts.push_back({subtree, {data, tree.count, kDTypeOf<T>}});
  }
  std::vector<T> elsewhere(own + 1);
  T* const out = in_place ? first + begin : elsewhere.data();
  RETURN_IF_ERROR(comm.StartReduceScatterLanes(parts, lanes, counts, {out, own, kDTypeOf<T>})->Wait());
  if (own == 0 || std::memcmp(out, want.data() + begin, own * sizeof(T)) == 0) return absl::OkStatus();
  return absl::InternalError(absl::StrCat("other bits: reduce_scatter of ", lanes, " lanes on ", comm.size(),
                                          " ranks, ", tree.count, " elements", in_place ? ", in place" : ""));
}

}  // namespace lockstep::comm

#endif  // LOCKSTEP_TESTS_COMM_REDUCE_LANES_CHECKS_H_
