// One collective as data: what the front of a communicator validates and queues, what an engine runs, and
// what ranks compare to find mismatched calls. Internal to comm/.
#ifndef LOCKSTEP_COMM_CALL_H_
#define LOCKSTEP_COMM_CALL_H_

#include <array>
#include <bit>
#include <cstdint>
#include <string>
#include <type_traits>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "comm/communicator.h"

namespace lockstep::comm {

enum class Collective : uint8_t {
  kBarrier,
  kAllReduce,
  kReduceScatter,
  kAllGather,
  kBroadcast,
  kReduce,
  kGather,
  kScatter,
  kAllToAll,
  kReduceLanes,
  kSend,  // the three between two ranks come last
  kRecv,
  kSendRecv,
};
inline constexpr bool IsPointToPoint(Collective c) { return c >= Collective::kSend; }

enum class Algorithm : uint8_t { kAuto, kOneShot, kTwoShot, kRing, kHalvingDoubling, kTree };

const char* NameOf(Collective collective);  // "all_reduce", ...
const char* NameOf(ReduceOp op);            // "sum", ...
const char* NameOf(Algorithm algorithm);    // "one_shot", ...
const char* NameOf(Wire wire);              // "full", "bf16", "f16"
const std::vector<std::string>& AlgorithmNames();
// Error: ConfigError that lists the known names. "" is kAuto.
absl::StatusOr<Algorithm> AlgorithmFromName(absl::string_view name);

struct Call {
  Collective kind = Collective::kBarrier;
  ReduceOp op = ReduceOp::kSum;
  Algorithm algorithm = Algorithm::kAuto;
  ConstBuffer in;
  Buffer out;
  int root = 0;   // of rooted collectives
  int to = -1;    // of kSend and kSendRecv
  int from = -1;  // of kRecv and kSendRecv
  int lanes = 0;  // of kReduceLanes, and of kReduceScatter where it adds in the lane tree's order
  absl::InlinedVector<LanePart, 4> parts;
  // Where each rank's lanes begin, and at last their number; empty: LanesOfRank. Never from callers:
  // hierarchies divide lanes among machines so.
  std::vector<int> lane_bounds;
  Wire wire = Wire::kFull;
  // Elements of each rank's part, for the v-forms; empty: equal parts. The same on all ranks, except of
  // kAllToAll, where `counts` is what this rank sends to each and `recv_counts` what it gets from each.
  std::vector<size_t> counts, recv_counts;

  // Of the elements, on every rank: not every rank gives both buffers.
  DType dtype() const;
};

// Elements [begin, end) of the larger buffer that are `rank`'s part, in kReduceScatter, kAllGather, kGather,
// kScatter; of kAllToAll's `in` (what goes to `rank`) and `out` (what comes from it).
struct Share {
  size_t begin = 0;
  size_t end = 0;
  size_t count() const { return end - begin; }
};
Share PartOf(const Call& call, int rank, int size);
Share ReceivedPartOf(const Call& call, int rank, int size);  // of kAllToAll
size_t LongestPart(const Call& call, int size);              // elements; equal on all ranks but of kAllToAll

// Whether `call` can be carried out by `rank` of `size`. Error: InvalidArgument naming what is wrong.
absl::Status Validate(const Call& call, int rank, int size);

// What must agree between ranks, as it travels in frames and shared memory.
struct CallDescriptor {
  uint8_t kind = 0;
  uint8_t op = 0;
  uint8_t dtype = 0;
  uint8_t algorithm = 0;
  int32_t root = 0;
  uint64_t count = 0;  // elements: of one rank's part where there are parts
  uint32_t lanes = 0;
  uint32_t wire = 0;
  uint64_t sequence = 0;  // number of the collective on this communicator
  uint64_t parts = 0;     // a hash of `counts`, where they must agree; 0: equal parts

  // By words, as there are no gaps: each small collective compares one for each rank.
  friend bool operator==(const CallDescriptor& a, const CallDescriptor& b) {
    using Words = std::array<uint64_t, 5>;
    return std::bit_cast<Words>(a) == std::bit_cast<Words>(b);
  }
};
static_assert(sizeof(CallDescriptor) == 40 && std::has_unique_object_representations_v<CallDescriptor>);

CallDescriptor DescriptorOf(const Call& call, uint64_t sequence, int size);
// "all_reduce #12 of 1048576 F32, sum, two_shot". Safe on any bytes.
std::string Describe(const CallDescriptor& descriptor);
// The error of two ranks that called different things.
absl::Status MismatchError(int rank, const CallDescriptor& mine, int peer, const CallDescriptor& theirs);

// Elements [begin, end) of `count` that share `index` of `shares` covers: cut at multiples of 16 elements, so
// that shares of F32 and wider start on cache lines. Shares may be empty.
Share ShareOf(size_t count, int index, int shares);

// A status with the kind of trouble and code that another rank reported.
absl::Status StatusOfTrouble(int trouble, int code, absl::string_view message);

}  // namespace lockstep::comm

#endif  // LOCKSTEP_COMM_CALL_H_
