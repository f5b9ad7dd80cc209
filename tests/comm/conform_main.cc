// One rank of the conformance suite as a real process, for backends whose ranks cannot be threads and for
// trying one by hand under any launcher.
//
//   comm_conform all FOLDER BACKEND      every collective, type, operation and shape; exit 0 when all is right
//   comm_conform bits FOLDER BACKEND     reduce_lanes of any number of lanes gives the bits that shm gives
//   comm_conform faults FOLDER BACKEND   mismatched calls, ranks that do not come, aborts, goodbyes
//   comm_conform limits FOLDER           backend mpi made to cut everything into many calls of MPI
//   comm_conform stuck FOLDER BACKEND    large messages that nobody takes: an error, and exit 4
//
// FOLDER is where the ranks meet if their launcher offers no place. BACKEND may be followed by what goes
// between machines and by a number of machines, over which the ranks then count as spread evenly: hier mpi 2.
#include <cstdio>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/time/clock.h"
#include "comm/bootstrap.h"
#include "comm/engine.h"
#include "comm/factory.h"
#include "comm/mpi/mpi_engine.h"
#include "tests/comm/conformance_checks.h"
#include "tests/comm/reduce_lanes_checks.h"

namespace lockstep::comm {
namespace {

constexpr absl::Duration kDeadline = absl::Seconds(60);
constexpr absl::Duration kShort = absl::Milliseconds(400);  // for what must not be done in time

// Makes communicators of all ranks, one after another.
class Maker {
 public:
  // `machines`: over which the ranks count as spread; 0: where they are.
  Maker(Meeting& meeting, std::string backend, std::string between = "tcp", int machines = 0)
      : meeting_(meeting), backend_(std::move(backend)), between_(std::move(between)), machines_(machines) {}
  absl::StatusOr<std::unique_ptr<Communicator>> Make(const std::string& algorithm = "auto",
                                                     absl::Duration deadline = kDeadline) {
    CommunicatorOptions options;
    options.backend = backend_;
    options.between = between_;
    if (machines_ > 0) {
      options.machine = absl::StrCat("machine ", meeting_.rank() * machines_ / meeting_.size());
    }
    options.algorithm = algorithm;
    options.deadline = deadline;
    options.generation = ++generation_;
    return MakeCommunicator(meeting_, options);
  }
  absl::StatusOr<std::unique_ptr<Communicator>> MakeShm() {
    CommunicatorOptions options;
    options.backend = "shm";
    options.deadline = kDeadline;
    options.generation = ++generation_;
    return MakeCommunicator(meeting_, options);
  }

 private:
  Meeting& meeting_;
  const std::string backend_, between_;
  const int machines_;
  uint64_t generation_ = 0;
};

absl::Status Expect(bool good, absl::string_view what) {
  return good ? absl::OkStatus() : absl::InternalError(absl::StrCat("not as expected: ", what));
}
absl::Status ExpectError(const absl::Status& status, absl::string_view what, absl::string_view text) {
  return Expect(
      !status.ok() && TroubleOf(status) == Trouble::kPeer && absl::StrContains(status.message(), text),
      absl::StrCat(what, ": ", status.ToString()));
}

absl::Status LanesOnly(Communicator& comm) {
  for (const int lanes : {4, 7, 8}) {
    if (lanes < comm.size()) continue;
    for (const size_t count : {0, 1, 17, 10007, 300007}) {
      const Tree<float> tree(lanes, count);
      RETURN_IF_ERROR(ReduceAndCompare<float>(comm, tree, 1, false, LaneMemory::kPlain));
      RETURN_IF_ERROR(ReduceAndCompare<float>(comm, tree, 3, true, LaneMemory::kPeer));
    }
  }
  const Tree<double> tree(8, 5003);
  return ReduceAndCompare<double>(comm, tree, 1, true, LaneMemory::kPlain);
}

absl::Status VForms(Communicator& comm) {
  for (const auto& counts : Lengths(comm.size())) RETURN_IF_ERROR(CheckVForms(comm, counts));
  return CheckAllToAllV(comm);
}

absl::Status InFlight(Communicator& comm) {
  std::vector<std::vector<float>> buffers(9, std::vector<float>(10007));
  std::vector<std::unique_ptr<Work>> works;
  for (size_t k = 0; k < buffers.size(); ++k) {
    std::fill(buffers[k].begin(), buffers[k].end(), static_cast<float>(k));
    works.push_back(comm.StartAllReduce(Of(buffers[k]), Of(buffers[k]), ReduceOp::kSum));
  }
  RETURN_IF_ERROR(comm.Barrier());
  for (size_t k = 0; k < buffers.size(); ++k) {
    RETURN_IF_ERROR(works[k]->Wait());
    const std::vector<float> want(10007, static_cast<float>(k * comm.size()));
    RETURN_IF_ERROR(Check("works in flight", buffers[k], want));
  }
  return absl::OkStatus();
}

absl::Status Messages(Communicator& comm) {
  const int next = (comm.rank() + 1) % comm.size(), previous = (comm.rank() + comm.size() - 1) % comm.size();
  for (const size_t count : {size_t{0}, size_t{1}, size_t{400}, size_t{100003}}) {
    std::vector<int64_t> out(count, comm.rank()), in(count, -1);
    RETURN_IF_ERROR(comm.SendRecv(Of(out), next, Of(in), previous));
    RETURN_IF_ERROR(Check("send_recv", in, std::vector<int64_t>(count, previous)));
    if (comm.rank() == 0) RETURN_IF_ERROR(comm.Send(Of(out), next));
    RETURN_IF_ERROR(comm.Recv(Of(in), previous));
    RETURN_IF_ERROR(Check("a token", in, std::vector<int64_t>(count, 0)));
    if (comm.rank() != 0) RETURN_IF_ERROR(comm.Send(Of(in), next));
  }
  return absl::OkStatus();
}

// Some ranks in place and some not: their own affair.
absl::Status InPlaceHereAndThere(Communicator& comm) {
  const bool in_place = comm.rank() % 2 == 0;
  for (const size_t count : {size_t{5}, size_t{100003}}) {
    std::vector<int32_t> in(count, comm.rank() + 1), out(count);
    RETURN_IF_ERROR(comm.AllReduce(Of(in), in_place ? Of(in) : Of(out), ReduceOp::kSum));
    const int32_t sum = comm.size() * (comm.size() + 1) / 2;
    RETURN_IF_ERROR(Check("all_reduce", in_place ? in : out, std::vector<int32_t>(count, sum)));
  }
  return absl::OkStatus();
}

absl::Status SplitAndUse(Communicator& comm) {
  for (int round = 0; round < 3; ++round) {
    ASSIGN_OR_RETURN(const auto part, comm.Split(comm.rank() % 2, -comm.rank()));
    std::vector<int32_t> mine = {comm.rank()}, all(part->size());
    RETURN_IF_ERROR(part->AllGather(Of(mine), Of(all)));
    RETURN_IF_ERROR(Expect(std::is_sorted(all.rbegin(), all.rend()), "the order of the keys"));
    RETURN_IF_ERROR(Expect(all[part->rank()] == comm.rank(), "the own place"));
    // Both at once, from two threads.
    absl::Status other;
    std::thread thread([&] { other = part->size() > 1 ? InFlight(*part) : absl::OkStatus(); });
    const absl::Status status = InFlight(comm);
    thread.join();
    RETURN_IF_ERROR(other);
    RETURN_IF_ERROR(status);
  }
  return absl::OkStatus();
}

absl::Status Everything(Maker& maker) {
  ASSIGN_OR_RETURN(const auto comm, maker.Make());
  RETURN_IF_ERROR(AllOf<float>(*comm, true));
  RETURN_IF_ERROR(AllOf<uint8_t>(*comm, false));
  RETURN_IF_ERROR(AllOf<int8_t>(*comm, false));
  RETURN_IF_ERROR(AllOf<int32_t>(*comm, false));
  RETURN_IF_ERROR(AllOf<uint32_t>(*comm, false));
  RETURN_IF_ERROR(AllOf<int64_t>(*comm, false));
  RETURN_IF_ERROR(AllOf<uint64_t>(*comm, false));
  RETURN_IF_ERROR(AllOf<Float16>(*comm, false));
  RETURN_IF_ERROR(AllOf<BFloat16>(*comm, false));
  RETURN_IF_ERROR(AllOf<double>(*comm, false));
  for (const ReduceOp op : kOps) RETURN_IF_ERROR(Reductions<float>(*comm, 100003, op, true, false));
  for (auto* check :
       {&WholeRangeOfAll, &VForms, &LanesOnly, &InFlight, &Messages, &InPlaceHereAndThere, &SplitAndUse}) {
    RETURN_IF_ERROR(check(*comm));
  }
  for (const char* algorithm : {"one_shot", "two_shot", "ring", "halving_doubling", "tree"}) {
    ASSIGN_OR_RETURN(const auto other, maker.Make(algorithm));
    for (const size_t count : {0, 1, 3, 1000, 100003}) {
      for (const ReduceOp op : {ReduceOp::kSum, ReduceOp::kAvg}) {
        RETURN_IF_ERROR(Annotate(Reductions<float>(*other, count, op, count % 2 == 0, false), algorithm));
      }
      RETURN_IF_ERROR(Annotate(Moves<float>(*other, count, count % 2 == 0, false), algorithm));
    }
    RETURN_IF_ERROR(Annotate(LanesOnly(*other), algorithm));
    RETURN_IF_ERROR(Annotate(VForms(*other), algorithm));
  }
  RETURN_IF_ERROR(comm->Barrier());
  if (comm->rank() == 0) std::printf("%s: all right\n", comm->Describe().c_str());
  return absl::OkStatus();
}

// reduce_lanes of every number of lanes, by this communicator and over shared memory alone.
absl::Status Bits(Maker& maker) {
  ASSIGN_OR_RETURN(const auto shm, maker.MakeShm());
  ASSIGN_OR_RETURN(const auto comm, maker.Make());
  for (int lanes = comm->size(); lanes <= 9; ++lanes) {
    for (const size_t count : {size_t{1}, size_t{4099}, size_t{1} << 20}) {
      std::vector<std::vector<float>> sums;
      std::vector<LanePart> parts;
      for (const LaneRange node : MaximalSubtrees(LanesOfRank(comm->rank(), comm->size(), lanes), lanes)) {
        sums.push_back(LaneGradient<float>(node.begin, count));
        parts.push_back({node, {sums.back().data(), count, DType::kF32}});
      }
      std::vector<float> want(count), got(count);
      RETURN_IF_ERROR(shm->ReduceLanes(parts, lanes, Of(want)));
      RETURN_IF_ERROR(comm->ReduceLanes(parts, lanes, Of(got)));
      RETURN_IF_ERROR(Expect(std::memcmp(want.data(), got.data(), count * sizeof(float)) == 0,
                             absl::StrCat("the bits of ", lanes, " lanes, ", count, " elements")));
    }
  }
  if (comm->rank() == 0) {
    std::printf("%s: the bits of %s\n", comm->Describe().c_str(), shm->backend().c_str());
  }
  return absl::OkStatus();
}

absl::Status Limits(Meeting& meeting) {
  MpiOptions options;
  options.generation = 1000;
  options.largest_count = 1000;
  options.largest_message_bytes = 10000;
  ASSIGN_OR_RETURN(auto engine, MakeMpiEngine(meeting, options, Deadline::After(kDeadline)));
  const auto comm = MakeFront(std::move(engine), {});
  RETURN_IF_ERROR(AllOf<float>(*comm, true));
  RETURN_IF_ERROR(AllOf<uint8_t>(*comm, false));
  for (auto* check : {&VForms, &LanesOnly, &InFlight, &Messages}) RETURN_IF_ERROR(check(*comm));
  if (comm->rank() == 0) std::printf("%s, by small pieces: all right\n", comm->Describe().c_str());
  return absl::OkStatus();
}

using Body = std::function<absl::Status(Communicator&, Buffer)>;

// A collective by stages may be done on one rank before it fails on another; then the next call says so.
absl::Status OrOfTheNext(Communicator& comm, const absl::Status& status) {
  return status.ok() && comm.backend() == "hier" ? comm.Barrier() : status;
}

// The last rank calls something else than the others.
absl::Status Mismatches(Maker& maker) {
  const Body sum = [](Communicator& c, Buffer b) { return c.AllReduce(b, b, ReduceOp::kSum); };
  const auto gather = [](int more) -> Body {
    return [more](Communicator& c, Buffer b) {
      std::vector<size_t> counts(c.size(), 2);
      counts[0] += more;
      std::vector<float> all(2 * c.size() + more), mine(counts[c.rank()]);
      b = Of(all);
      return c.AllGatherV(Of(mine), b, counts);
    };
  };
  const std::vector<std::tuple<std::string, Body, Body>> cases = {
      {"count", sum,
       [](Communicator& c, Buffer b) {
         b.count = 11;
         return c.AllReduce(b, b, ReduceOp::kSum);
       }},
      {"op", sum, [](Communicator& c, Buffer b) { return c.AllReduce(b, b, ReduceOp::kMax); }},
      {"type", sum,
       [](Communicator& c, Buffer b) {
         b.dtype = DType::kI32;
         return c.AllReduce(b, b, ReduceOp::kSum);
       }},
      {"collective", sum, [](Communicator& c, Buffer b) { return c.Broadcast(b, 0); }},
      {"root", [](Communicator& c, Buffer b) { return c.Broadcast(b, 0); },
       [](Communicator& c, Buffer b) { return c.Broadcast(b, 1); }},
      {"algorithm", sum,
       [](Communicator& c, Buffer b) {
         CallOptions o;
         o.algorithm = "ring";
         return c.AllReduce(b, b, ReduceOp::kSum, o);
       }},
      {"counts", gather(0), gather(1)},
      {"a barrier", sum, [](Communicator& c, Buffer) { return c.Barrier(); }},
  };
  for (const auto& [what, most, odd] : cases) {
    ASSIGN_OR_RETURN(const auto comm, maker.Make("auto", absl::Seconds(5)));
    std::vector<float> values(64);
    const absl::Status status =
        (comm->rank() == comm->size() - 1 ? odd : most)(*comm, Buffer{values.data(), 10, DType::kF32});
    RETURN_IF_ERROR(ExpectError(OrOfTheNext(*comm, status), what, "the ranks called different things"));
    RETURN_IF_ERROR(ExpectError(comm->Barrier(), what, "the ranks called different things"));  // sticky
  }
  return absl::OkStatus();
}

// The last rank comes too late.
absl::Status Absences(Maker& maker) {
  for (const char* algorithm : {"auto", "one_shot"}) {
    ASSIGN_OR_RETURN(const auto comm, maker.Make(algorithm, kShort));
    const int last = comm->size() - 1;
    std::vector<float> values(100);
    if (comm->rank() == last) absl::SleepFor(3 * kShort);
    const absl::Time begin = absl::Now();
    absl::Status status = comm->AllReduce(Of(values), Of(values), ReduceOp::kSum);
    // What the others sent in time may be enough for who is late (MPICH); they have given up all the same.
    if (comm->rank() == last && status.ok()) status = comm->Barrier();
    const std::string text = comm->backend() == "hier" ? absl::StrCat("rank ", last) : "still awaited: rank";
    RETURN_IF_ERROR(ExpectError(status, "a rank that does not come", text));
    // Some of the others may hear of it before their own deadline; all name a rank.
    RETURN_IF_ERROR(Expect(absl::IsDeadlineExceeded(status), status.ToString()));
    RETURN_IF_ERROR(Expect(absl::Now() - begin < kShort + absl::Seconds(2), "the time that it took"));
    if (comm->rank() != last && comm->size() == 2) {
      RETURN_IF_ERROR(ExpectError(status, "who is named", absl::StrCat("rank ", last)));
    }
  }
  return absl::OkStatus();
}

absl::Status Aborts(Maker& maker) {
  for (const bool waiting : {false, true}) {
    ASSIGN_OR_RETURN(const auto comm, maker.Make());
    std::vector<float> values(100);
    const auto abort = [&] {
      absl::SleepFor(absl::Milliseconds(100));
      comm->Abort(PeerError("enough of this"));
    };
    // Rank 0 aborts while it waits, from another thread, or while it does nothing.
    std::thread aborter;
    if (comm->rank() == 0 && waiting) aborter = std::thread(abort);
    if (comm->rank() == 0 && !waiting) abort();
    if (comm->rank() == comm->size() - 1 && waiting) absl::SleepFor(absl::Milliseconds(300));
    const absl::Status status = comm->AllReduce(Of(values), Of(values), ReduceOp::kSum);
    if (aborter.joinable()) aborter.join();
    RETURN_IF_ERROR(ExpectError(OrOfTheNext(*comm, status), "abort", "enough of this"));
  }
  return absl::OkStatus();
}

absl::Status Goodbyes(Maker& maker) {
  ASSIGN_OR_RETURN(auto comm, maker.Make());
  const int last = comm->size() - 1;
  RETURN_IF_ERROR(InFlight(*comm));
  if (comm->rank() == last) return absl::OkStatus();  // and leaves
  std::vector<float> values(100);
  const absl::Status status = comm->AllReduce(Of(values), Of(values), ReduceOp::kSum);
  return ExpectError(status, "a rank that left", "closed its communicator");
}

absl::Status Faults(Maker& maker, int rank) {
  for (auto* check : {&Mismatches, &Absences, &Aborts, &Goodbyes}) RETURN_IF_ERROR(check(maker));
  // What went before has hurt nothing.
  ASSIGN_OR_RETURN(const auto comm, maker.Make());
  RETURN_IF_ERROR(InFlight(*comm));
  RETURN_IF_ERROR(LanesOnly(*comm));
  if (rank == 0) std::printf("%s: all faults as they should be\n", comm->Describe().c_str());
  return absl::OkStatus();
}

absl::Status Stuck(Maker& maker) {
  ASSIGN_OR_RETURN(const auto comm, maker.Make("one_shot", kShort));
  std::vector<float> values(1 << 20);
  if (comm->rank() == comm->size() - 1) absl::SleepFor(3 * kShort);
  const absl::Status status = comm->AllReduce(Of(values), Of(values), ReduceOp::kSum);
  RETURN_IF_ERROR(ExpectError(status, "large messages that nobody takes", "rank"));
  return status;
}

absl::Status Run(const std::vector<std::string>& arguments) {
  if (arguments.size() < 3) return ConfigError("see the head of tests/comm/conform_main.cc");
  ASSIGN_OR_RETURN(const World world, WorldFromEnvironment());
  ASSIGN_OR_RETURN(auto meeting, Meet(world, {.folder = arguments[2], .deadline = absl::Seconds(20)}));
  if (meeting->size() == 1) return ConfigError("start this as several ranks");
  int machines = 0;
  if (arguments.size() > 5 && !absl::SimpleAtoi(arguments[5], &machines)) {
    return ConfigError("the number of machines is a number");
  }
  Maker maker(*meeting, arguments.size() > 3 ? arguments[3] : "mpi",
              arguments.size() > 4 ? arguments[4] : "tcp", machines);
  if (arguments[1] == "all") return Everything(maker);
  if (arguments[1] == "bits") return Bits(maker);
  if (arguments[1] == "faults") return Faults(maker, meeting->rank());
  if (arguments[1] == "limits") return Limits(*meeting);
  if (arguments[1] == "stuck") return Stuck(maker);
  return ConfigError("see the head of tests/comm/conform_main.cc");
}

}  // namespace
}  // namespace lockstep::comm

int main(int argc, char** argv) {
  const absl::Status status = lockstep::comm::Run(std::vector<std::string>(argv, argv + argc));
  if (!status.ok()) std::fprintf(stderr, "%s\n", std::string(status.message()).c_str());
  return lockstep::ExitCodeOf(status);
}
