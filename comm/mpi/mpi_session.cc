#include "comm/mpi/mpi_session.h"

#include <pthread.h>
#include <signal.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <thread>
#include <utility>

#include "absl/time/clock.h"
#include "runtime/core/thread.h"

namespace lockstep::comm {
namespace {

constexpr absl::Duration kPatienceAfterFailure = absl::Seconds(2);
constexpr absl::Duration kFinalizePatience = absl::Seconds(30);  // once all processes are known to be there
constexpr absl::Duration kPollPause = absl::Milliseconds(1);
constexpr int kTags = 1 << 14;

}  // namespace

absl::Status MpiStatus(const char* what, int code) {
  if (code == MPI_SUCCESS) return absl::OkStatus();
  char text[MPI_MAX_ERROR_STRING] = "";
  int length = 0;
  MPI_Error_string(code, text, &length);
  return PeerError(absl::StrCat(what, ": ", absl::string_view(text, static_cast<size_t>(length))));
}

std::string MpiLibrary() {
  char text[MPI_MAX_LIBRARY_VERSION_STRING] = "";
  int length = 0;
  MPI_Get_library_version(text, &length);
  return std::string(text, static_cast<size_t>(length));
}

std::mutex& MpiSession::InstanceMutex() {
  static std::mutex& mutex = *new std::mutex;
  return mutex;
}

MpiSession*& MpiSession::Instance() {
  static MpiSession* instance = nullptr;
  return instance;
}

bool MpiSession::Started() {
  std::lock_guard<std::mutex> lock(InstanceMutex());
  return Instance() != nullptr && Instance()->started_.ok();
}

absl::StatusOr<MpiSession*> MpiSession::Start(Deadline deadline) {
  std::lock_guard<std::mutex> lock(InstanceMutex());
  MpiSession*& session = Instance();
  if (session == nullptr) {
    int finalized = 0;
    MPI_Finalized(&finalized);
    if (finalized != 0)
      return ConfigError("backend mpi: this process has finalised MPI, which cannot start twice");
    session = new MpiSession;
    if (!session->OnServiceThread([session] { session->Init(); }, deadline)) {
      session->Abandon("MPI_Init did not return");
      return DeadlineError(
          "MPI_Init did not return before the deadline. Does every process of the job use backend mpi, and "
          "can the "
          "machines reach each other over the network that MPI chose?");
    }
    if (session->owned_) std::atexit(&MpiSession::AtExit);
  }
  RETURN_IF_ERROR(session->started_);
  RETURN_IF_ERROR(session->usable());
  return session;
}

MpiSession::MpiSession() : started_(PeerError("MPI_Init did not return")) {
  // Signals are for the threads of the program.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  std::thread(&MpiSession::ServiceLoop, this).detach();
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

void MpiSession::ServiceLoop() {
  NameThread("lockstep-mpi");
  std::unique_lock<std::mutex> lock(service_mutex_);
  while (true) {
    service_.wait(lock, [this] { return job_ != nullptr; });
    const std::function<void()> job = std::exchange(job_, nullptr);
    lock.unlock();
    job();
    lock.lock();
    ++jobs_done_;
    service_.notify_all();
  }
}

bool MpiSession::OnServiceThread(std::function<void()> job, Deadline deadline) {
  std::unique_lock<std::mutex> lock(service_mutex_);
  const auto wait = [&](auto ready) {
    return service_.wait_for(lock, absl::ToChronoNanoseconds(deadline.Left()), ready);
  };
  if (!wait([this] { return jobs_done_ == jobs_asked_; })) return false;
  job_ = std::move(job);
  const uint64_t mine = ++jobs_asked_;
  service_.notify_all();
  return wait([this, mine] { return jobs_done_ >= mine; });
}

void MpiSession::Init() {
  std::lock_guard<std::mutex> lock(mutex_);
  int initialized = 0, given = MPI_THREAD_SINGLE;
  MPI_Initialized(&initialized);
  int code = initialized != 0 ? MPI_Query_thread(&given)
                              : MPI_Init_thread(nullptr, nullptr, MPI_THREAD_SERIALIZED, &given);
  owned_ = initialized == 0 && code == MPI_SUCCESS;
  if (code == MPI_SUCCESS) code = MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
  if (code == MPI_SUCCESS) code = MPI_Comm_rank(MPI_COMM_WORLD, &world_rank_);
  if (code == MPI_SUCCESS) code = MPI_Comm_size(MPI_COMM_WORLD, &world_size_);
  started_ = MpiStatus("starting MPI", code);
  if (started_.ok() && given < MPI_THREAD_SERIALIZED) {
    started_ = ConfigError(
        "backend mpi: this MPI library was built (or initialised) without support for threads; it must give "
        "MPI_THREAD_SERIALIZED. Use another backend (auto, shm, tcp)");
  }
}

int MpiSession::NextTag() {
  std::lock_guard<std::mutex> lock(state_mutex_);
  return next_tag_++ % kTags;
}

absl::StatusOr<MPI_Comm> MpiSession::MakeComm(const std::vector<int>& world_ranks, int tag,
                                              Deadline deadline) {
  CloseRetired();
  // Shared with the job, which outlives this call when it is late.
  struct Result {
    absl::Status status;
    MPI_Comm comm = MPI_COMM_NULL;
  };
  auto result = std::make_shared<Result>();
  const bool done = OnServiceThread(
      [this, result, world_ranks, tag] {
        std::lock_guard<std::mutex> lock(mutex_);
        MPI_Group world = MPI_GROUP_NULL, group = MPI_GROUP_NULL;
        int code = MPI_Comm_group(MPI_COMM_WORLD, &world);
        if (code == MPI_SUCCESS) {
          code = MPI_Group_incl(world, static_cast<int>(world_ranks.size()), world_ranks.data(), &group);
        }
        if (code == MPI_SUCCESS) code = MPI_Comm_create_group(MPI_COMM_WORLD, group, tag, &result->comm);
        if (code == MPI_SUCCESS) code = MPI_Comm_set_errhandler(result->comm, MPI_ERRORS_RETURN);
        if (group != MPI_GROUP_NULL) MPI_Group_free(&group);
        if (world != MPI_GROUP_NULL) MPI_Group_free(&world);
        result->status = MpiStatus("making an MPI communicator", code);
      },
      deadline);
  if (!done) {
    Abandon("MPI_Comm_create_group did not return");
    return DeadlineError("MPI_Comm_create_group did not return before the deadline");
  }
  RETURN_IF_ERROR(result->status);
  return result->comm;
}

void MpiSession::Abandon(const std::string& why) {
  std::lock_guard<std::mutex> lock(state_mutex_);
  if (abandoned_.empty()) abandoned_ = why;
  failed_ = true;
  is_abandoned_.store(true, std::memory_order_release);
}

absl::Status MpiSession::usable() const {
  std::lock_guard<std::mutex> lock(state_mutex_);
  if (abandoned_.empty()) return absl::OkStatus();
  return PeerError(
      absl::StrCat("MPI cannot be used any more in this process since an earlier failure: ", abandoned_));
}

void MpiSession::SetExitPatience(absl::Duration patience) {
  std::lock_guard<std::mutex> lock(state_mutex_);
  exit_patience_ = std::max(exit_patience_, patience);
}

void MpiSession::Fail() {
  std::lock_guard<std::mutex> lock(state_mutex_);
  failed_ = true;
}

void MpiSession::Retire(std::function<bool()> close) {
  std::lock_guard<std::mutex> lock(state_mutex_);
  retired_.push_back(std::move(close));
}

size_t MpiSession::CloseRetired() {
  std::vector<std::function<bool()>> left;
  {
    std::lock_guard<std::mutex> lock(state_mutex_);
    left.swap(retired_);
  }
  for (auto& close : left) {
    if (abandoned() || !close()) Retire(std::move(close));
  }
  std::lock_guard<std::mutex> lock(state_mutex_);
  return retired_.size();
}

// Nobody else calls MPI any more, unless a thread of the program outlives main.
void MpiSession::Finalize() {
  Deadline deadline = Deadline::Never();
  {
    std::lock_guard<std::mutex> state(state_mutex_);
    deadline = Deadline::After(failed_ ? kPatienceAfterFailure : exit_patience_);
  }
  MPI_Request all_here = MPI_REQUEST_NULL;
  int done = 0, code = MPI_SUCCESS;
  for (bool started = false; code == MPI_SUCCESS && done == 0; started = true) {
    if (started) absl::SleepFor(kPollPause);
    if (deadline.Passed()) return;
    std::lock_guard<std::mutex> lock(mutex_);
    code = started ? MPI_Test(&all_here, &done, MPI_STATUS_IGNORE) : MPI_Ibarrier(MPI_COMM_WORLD, &all_here);
  }
  if (code != MPI_SUCCESS) return;
  // The last goodbyes are on their way.
  for (int round = 0; round < 100 && CloseRetired() > 0; ++round) absl::SleepFor(kPollPause);
  std::lock_guard<std::mutex> lock(mutex_);
  if (!abandoned()) MPI_Finalize();
}

void MpiSession::AtExit() {
  MpiSession* session;
  {
    std::lock_guard<std::mutex> lock(InstanceMutex());
    session = Instance();
  }
  int finalized = 0;
  MPI_Finalized(&finalized);
  if (finalized != 0 || !session->usable().ok()) return;
  Deadline deadline = Deadline::Never();
  {
    std::lock_guard<std::mutex> lock(session->state_mutex_);
    deadline = Deadline::After((session->failed_ ? kPatienceAfterFailure : session->exit_patience_) +
                               kFinalizePatience);
  }
  session->OnServiceThread([session] { session->Finalize(); }, deadline);
}

}  // namespace lockstep::comm
