#include "tests/testing/run_ranks.h"

#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>

namespace lockstep::testing {
namespace {

// Ends the process when its owner does not come back in time: a hung test should say which, not time out in
// silence.
class Watchdog {
 public:
  Watchdog(absl::Duration allowed, std::string what, std::function<std::string()> who)
      : thread_([this, allowed, what = std::move(what), who = std::move(who)] {
          std::unique_lock<std::mutex> lock(mutex_);
          if (back_.wait_for(lock, absl::ToChronoNanoseconds(allowed), [this] { return done_; })) return;
          std::fprintf(stderr, "watchdog: %s: still running after %s:%s\n", what.c_str(),
                       absl::FormatDuration(allowed).c_str(), who().c_str());
          std::abort();
        }) {}
  ~Watchdog() {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      done_ = true;
    }
    back_.notify_all();
    thread_.join();
  }

 private:
  std::mutex mutex_;
  std::condition_variable back_;
  bool done_ = false;
  std::thread thread_;
};

}  // namespace

void PoseAsMachines(int rank, comm::CommunicatorOptions& options) {
  const std::string how = options.backend;
  if (how != "hier_pairs" && how != "hier_uneven" && how != "hier_mixed") return;
  const int machine = how == "hier_pairs" ? rank / 2 : how == "hier_uneven" ? (rank + 1) / 2 : rank % 2;
  options.backend = "hier";
  options.machine = absl::StrCat("machine ", machine);
}

std::vector<absl::Status> StatusesOfMeetings(const RunRanksOptions& options,
                                             const MeetingFunction& rank_function) {
  std::vector<absl::Status> results(options.size);
  std::mutex mutex;
  std::vector<bool> finished(options.size);
  Watchdog watchdog(options.watchdog, options.what, [&] {
    std::lock_guard<std::mutex> lock(mutex);
    std::string who;
    for (int rank = 0; rank < options.size; ++rank) {
      if (!finished[rank]) absl::StrAppend(&who, " rank ", rank);
    }
    return who;
  });
  const auto store = comm::MakeMemoryStore();
  std::vector<std::thread> threads;
  for (int rank = 0; rank < options.size; ++rank) {
    threads.emplace_back([&, rank] {
      auto meeting = comm::MakeStoreMeeting(store, rank, options.size, Deadline::After(absl::Seconds(20)));
      results[rank] = meeting.ok() ? rank_function(**meeting) : meeting.status();
      std::lock_guard<std::mutex> lock(mutex);
      finished[rank] = true;
    });
  }
  for (std::thread& thread : threads) thread.join();
  return results;
}

std::vector<absl::Status> StatusesOfRanks(const RunRanksOptions& options, const RankFunction& rank_function) {
  return StatusesOfMeetings(options, [&](comm::Meeting& meeting) -> absl::Status {
    comm::CommunicatorOptions communicator;
    communicator.backend = options.backend;
    communicator.algorithm = options.algorithm;
    communicator.deadline = options.deadline;
    communicator.connect_deadline = absl::Seconds(20);
    PoseAsMachines(meeting.rank(), communicator);
    ASSIGN_OR_RETURN(const auto comm, comm::MakeCommunicator(meeting, communicator));
    return rank_function(*comm);
  });
}

absl::Status RunRanks(const RunRanksOptions& options, const RankFunction& rank_function) {
  const auto results = StatusesOfRanks(options, rank_function);
  for (int rank = 0; rank < options.size; ++rank) {
    if (!results[rank].ok()) return Annotate(results[rank], absl::StrCat("rank ", rank));
  }
  return absl::OkStatus();
}

}  // namespace lockstep::testing
