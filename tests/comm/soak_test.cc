// Worlds of real processes under a seeded schedule of stops, continues and kills: whatever the moment, a
// collective gives the right values or an error that names the culprit, soon; never a hang, never a wrong sum.
//
//   LOCKSTEP_SOAK_SEEDS=100 comm_soak_test       so many schedules (default 6)
//   LOCKSTEP_SOAK_FIRST=4711 comm_soak_test      the first one's seed: repeats a schedule that failed
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "gtest/gtest.h"
#include "runtime/core/clock.h"
#include "tests/testing/rank_processes.h"

namespace lockstep::comm {
namespace {

using testing::RankOutcome;
using testing::RunRankProcesses;

int64_t FromEnvironment(const char* name, int64_t otherwise) {
  const char* const value = std::getenv(name);
  return value == nullptr ? otherwise : std::atoll(value);
}

// What a schedule does to one world.
struct Schedule {
  struct Event {
    int after_ms = 0;  // since the one before
    int rank = 0;
    int signal = 0;
  };
  int size = 2;
  std::string backend;
  std::vector<Event> events;
  int killed = -1;  // at the end; -1: nobody
};

// Every stop is followed by its continue, well before the deadline.
Schedule MakeSchedule(int64_t seed) {
  std::mt19937_64 random(static_cast<uint64_t>(seed));
  Schedule schedule;
  schedule.size = 2 + static_cast<int>(random() % 4);
  schedule.backend = random() % 2 == 0 ? "shm" : "tcp";
  const int stops = static_cast<int>(random() % 4);
  for (int i = 0; i < stops; ++i) {
    const int rank = static_cast<int>(random() % schedule.size);
    schedule.events.push_back({static_cast<int>(random() % 60), rank, SIGSTOP});
    schedule.events.push_back({static_cast<int>(random() % 200), rank, SIGCONT});
  }
  if (random() % 3 != 0) {
    schedule.killed = static_cast<int>(random() % schedule.size);
    // Sometimes one that is stopped.
    if (random() % 4 == 0)
      schedule.events.push_back({static_cast<int>(random() % 60), schedule.killed, SIGSTOP});
    schedule.events.push_back({static_cast<int>(random() % 100), schedule.killed, SIGKILL});
  }
  return schedule;
}

std::string Describe(int64_t seed, const Schedule& schedule) {
  std::string text =
      absl::StrCat("LOCKSTEP_SOAK_FIRST=", seed, ": ", schedule.size, " ranks over ", schedule.backend);
  for (const Schedule::Event& event : schedule.events) {
    absl::StrAppend(&text, ", ", event.after_ms, " ms ", strsignal(event.signal), " to ", event.rank);
  }
  return text;
}

int64_t Value(uint64_t round, int rank, size_t i) {
  return static_cast<int64_t>((round * 13 + rank * 7 + i) % 1000);
}

// One collective of many kinds and sizes, its result checked.
absl::Status Round(Communicator& comm, uint64_t round, std::mt19937_64& random) {
  const size_t count = size_t{1} << (random() % 18);
  const int ranks = comm.size(), root = static_cast<int>(random() % ranks);
  std::vector<int64_t> in(count), out(count);
  for (size_t i = 0; i < count; ++i) in[i] = Value(round, comm.rank(), i);
  const auto sum = [&](size_t i) {
    int64_t total = 0;
    for (int rank = 0; rank < ranks; ++rank) total += Value(round, rank, i);
    return total;
  };
  const auto wrong = [&](const char* what) {
    return absl::InternalError(absl::StrCat("round ", round, ": a wrong value from ", what));
  };
  const Buffer source = BufferOf(absl::MakeSpan(in)), target = BufferOf(absl::MakeSpan(out));
  switch (random() % 4) {
    case 0:
      RETURN_IF_ERROR(comm.AllReduce(source, target, ReduceOp::kSum));
      for (size_t i = 0; i < count; ++i) {
        if (out[i] != sum(i)) return wrong("all_reduce");
      }
      return absl::OkStatus();
    case 1:
      if (comm.rank() == root) out = in;
      RETURN_IF_ERROR(comm.Broadcast(target, root));
      for (size_t i = 0; i < count; ++i) {
        if (out[i] != Value(round, root, i)) return wrong("broadcast");
      }
      return absl::OkStatus();
    case 2: {
      out.resize(count * ranks);
      RETURN_IF_ERROR(comm.AllGather(source, BufferOf(absl::MakeSpan(out))));
      for (size_t i = 0; i < out.size(); ++i) {
        if (out[i] != Value(round, static_cast<int>(i / count), i % count)) return wrong("all_gather");
      }
      return absl::OkStatus();
    }
    default: {
      const auto work = comm.StartAllReduce(source, source, ReduceOp::kSum);
      RETURN_IF_ERROR(comm.Barrier());
      RETURN_IF_ERROR(work->Wait());
      for (size_t i = 0; i < count; ++i) {
        if (in[i] != sum(i)) return wrong("an all_reduce started before");
      }
      return absl::OkStatus();
    }
  }
}

// All ranks draw the same rounds. Rank 0 says when it is enough.
absl::Status Rounds(Communicator& comm, int64_t seed, double until_seconds) {
  std::mt19937_64 random(static_cast<uint64_t>(seed) * 31);
  for (uint64_t round = 0;; ++round) {
    RETURN_IF_ERROR(Round(comm, round, random));
    if (round % 16 != 0) continue;
    int32_t enough = MonotonicSeconds() > until_seconds ? 1 : 0;
    RETURN_IF_ERROR(comm.Broadcast(Buffer{&enough, 1, DType::kI32}, 0));
    if (enough != 0) return absl::OkStatus();
  }
}

void Play(const Schedule& schedule, const std::vector<pid_t>& pids, double* killed_at) {
  for (const Schedule::Event& event : schedule.events) {
    usleep(static_cast<useconds_t>(event.after_ms) * 1000);
    if (event.signal == SIGKILL) *killed_at = MonotonicSeconds();
    kill(pids[event.rank], event.signal);
  }
}

void Soak(int64_t seed) {
  const Schedule schedule = MakeSchedule(seed);
  SCOPED_TRACE(Describe(seed, schedule));
  int total_ms = 0;
  for (const Schedule::Event& event : schedule.events) total_ms += event.after_ms;
  // Who is to be killed must still be at it then.
  const double until = MonotonicSeconds() + 0.4 + total_ms / 1000.0 + (schedule.killed < 0 ? 0 : 30);
  CommunicatorOptions options;
  options.backend = schedule.backend;
  options.deadline = absl::Seconds(20);
  double killed_at = 0;
  const auto outcomes = RunRankProcesses(
      schedule.size, options, [&](Communicator& comm) { return Rounds(comm, seed, until); },
      [&](const std::vector<pid_t>& pids) {
        usleep(100'000);
        Play(schedule, pids, &killed_at);
      });
  for (int rank = 0; rank < schedule.size; ++rank) {
    const RankOutcome& outcome = outcomes[rank];
    if (rank == schedule.killed) {
      EXPECT_TRUE(outcome.killed);
    } else if (schedule.killed < 0) {
      EXPECT_EQ(outcome.message, "") << "rank " << rank;
    } else {
      EXPECT_EQ(outcome.trouble, static_cast<int>(Trouble::kPeer)) << outcome.message;
      EXPECT_TRUE(absl::StrContains(outcome.message, absl::StrCat("rank ", schedule.killed)))
          << "rank " << rank << " blames: " << outcome.message;
      EXPECT_LT(outcome.at_seconds - killed_at, 3.0) << outcome.message;
    }
  }
}

TEST(SoakTest, StopsContinuesAndKillsAtSeededMoments) {
  const int64_t first = FromEnvironment("LOCKSTEP_SOAK_FIRST", 1),
                seeds = FromEnvironment("LOCKSTEP_SOAK_SEEDS", 6);
  for (int64_t seed = first; seed < first + seeds && !::testing::Test::HasFailure(); ++seed) Soak(seed);
}

}  // namespace
}  // namespace lockstep::comm
