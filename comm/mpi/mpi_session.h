// MPI as this process has it: initialised once, on first need, and finalised when the process exits. MPI is
// one per process by its own rules, so this is the one object of the kind; nothing else in Lockstep is
// global.
//
// MPI_Init_thread and MPI_Finalize must come from one thread, and may wait for ever for a peer that is stuck:
// both run on a thread of the session's own, and whoever needs them waits with a deadline. When the process
// exits (std::exit, or main returns) all processes first meet in an MPI_Ibarrier that is polled; if that is
// not done in time, or MPI was abandoned, MPI_Finalize is left out, and the launcher ends the job.
//
// MPI is asked for MPI_THREAD_SERIALIZED, and every call into it is made under mutex().
#ifndef LOCKSTEP_COMM_MPI_MPI_SESSION_H_
#define LOCKSTEP_COMM_MPI_MPI_SESSION_H_

#include <atomic>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "comm/mpi/mpi_library.h"
#include "runtime/core/clock.h"
#include "runtime/core/status.h"

namespace lockstep::comm {

// "MPI_Isend: MPI_ERR_RANK: invalid rank" as a PeerError; OK for MPI_SUCCESS.
absl::Status MpiStatus(const char* what, int code);

// What MPI_Get_library_version says. May be called before MPI is initialised.
std::string MpiLibrary();

// Thread-safe.
class MpiSession {
 public:
  // Initialises MPI the first time, until `deadline`; every process of the job must do so at about the same
  // time. Never destroyed. Error: DeadlineError; ConfigError when the library lacks threads, or MPI was
  // finalised.
  static absl::StatusOr<MpiSession*> Start(Deadline deadline);
  // Whether Start has succeeded before.
  static bool Started();

  int world_rank() const { return world_rank_; }
  int world_size() const { return world_size_; }
  // Held around every call of MPI.
  std::mutex& mutex() { return mutex_; }

  // A tag that this process has not given out lately, for MakeComm.
  int NextTag();
  // A communicator of these ranks of MPI_COMM_WORLD, in this order, that returns errors. They all call it at
  // about the same time, with the same tag.
  absl::StatusOr<MPI_Comm> MakeComm(const std::vector<int>& world_ranks, int tag, Deadline deadline);

  // An operation could not be completed or taken back: MPI may still read or write memory that its owner will
  // free. So from here on this process never enters MPI again; whoever is about to asks first. With mutex()
  // held, unless the operation holds it.
  void Abandon(const std::string& why);
  bool abandoned() const { return is_abandoned_.load(std::memory_order_acquire); }
  // OK, or why MPI was abandoned.
  absl::Status usable() const;

  // At exit the other processes are awaited so long. A failure makes it short.
  void SetExitPatience(absl::Duration patience);
  void Fail();

  // Calls `close` now and then until it returns true; without the mutex held.
  void Retire(std::function<bool()> close);

 private:
  MpiSession();
  static std::mutex& InstanceMutex();
  static MpiSession*& Instance();  // under InstanceMutex
  static void AtExit();
  void ServiceLoop();
  // Runs `job` on the session's thread. False when it is not done by the deadline.
  bool OnServiceThread(std::function<void()> job, Deadline deadline);
  void Init();
  void Finalize();
  size_t CloseRetired();  // how many are left

  std::mutex mutex_;
  int world_rank_ = -1, world_size_ = 0;
  bool owned_ = false;    // MPI was initialised here, not by a program of which Lockstep is a part
  absl::Status started_;  // of Init

  mutable std::mutex state_mutex_;
  std::atomic<bool> is_abandoned_{false};
  std::string abandoned_;  // why
  absl::Duration exit_patience_ = absl::ZeroDuration();
  bool failed_ = false;
  int next_tag_ = 0;
  std::vector<std::function<bool()>> retired_;

  std::mutex service_mutex_;
  std::condition_variable service_;
  std::function<void()> job_;
  uint64_t jobs_asked_ = 0, jobs_done_ = 0;
};

}  // namespace lockstep::comm

#endif  // LOCKSTEP_COMM_MPI_MPI_SESSION_H_
