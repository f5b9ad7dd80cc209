#include "comm/pmix/pmix_meeting.h"

#include <pmix.h>

#include <condition_variable>
#include <cstring>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"

namespace lockstep::comm {
namespace {

absl::Status PmixError(absl::string_view what, pmix_status_t status) {
  return absl::UnavailableError(absl::StrCat("PMIx: ", what, ": ", PMIx_Error_string(status)));
}

// A non-blocking call's answer. Shared with the callback, which may come after the caller gave up.
struct Answer {
  std::mutex mutex;
  std::condition_variable came;
  bool done = false;
  pmix_status_t status = PMIX_ERROR;
  std::string value;
};
using AnswerHolder = std::shared_ptr<Answer>;

void Tell(void* holder, pmix_status_t status, std::string value) {
  const std::unique_ptr<AnswerHolder> answer(static_cast<AnswerHolder*>(holder));
  std::lock_guard<std::mutex> lock((*answer)->mutex);
  (*answer)->done = true;
  (*answer)->status = status;
  (*answer)->value = std::move(value);
  (*answer)->came.notify_all();
}
void OnFence(pmix_status_t status, void* holder) { Tell(holder, status, ""); }
void OnGet(pmix_status_t status, pmix_value_t* value, void* holder) {
  const bool text = status == PMIX_SUCCESS && value != nullptr && value->type == PMIX_STRING;
  Tell(holder, status, text ? value->data.string : "");
}

bool Await(Answer& answer, Deadline deadline) {
  std::unique_lock<std::mutex> lock(answer.mutex);
  return answer.came.wait_for(lock, absl::ToChronoNanoseconds(deadline.Left()), [&] { return answer.done; });
}

// PMIx_Init waits for its server without a deadline, and a server whose job has just lost a rank may never
// answer. So it has a thread, which is left behind where no answer comes; the process then ends.
absl::StatusOr<pmix_proc_t> Init(Deadline deadline) {
  struct Beginning {
    Answer answer;
    pmix_proc_t self;
  };
  auto beginning = std::make_shared<Beginning>();
  std::thread thread([beginning] {
    const pmix_status_t status = PMIx_Init(&beginning->self, nullptr, 0);
    std::lock_guard<std::mutex> lock(beginning->answer.mutex);
    beginning->answer.done = true;
    beginning->answer.status = status;
    beginning->answer.came.notify_all();
  });
  if (!Await(beginning->answer, deadline)) {
    thread.detach();
    return DeadlineError("the launcher's PMIx server did not answer; has another rank died at its start?");
  }
  thread.join();
  if (beginning->answer.status != PMIX_SUCCESS) return PmixError("init", beginning->answer.status);
  return beginning->self;
}

class PmixMeeting : public Meeting {
 public:
  PmixMeeting(const pmix_proc_t& self, int rank, int size) : self_(self), rank_(rank), size_(size) {}
  ~PmixMeeting() override { PMIx_Finalize(nullptr, 0); }

  int rank() const override { return rank_; }
  int size() const override { return size_; }
  const std::string& secret() const override { return secret_; }

  absl::Status ShareSecret(Deadline deadline) {
    ASSIGN_OR_RETURN(const auto secrets, Exchange("secret", rank_ == 0 ? RandomSecret() : "", deadline));
    secret_ = secrets[0];
    return secret_.size() >= 16 ? absl::OkStatus() : absl::UnavailableError("PMIx: rank 0 sent no secret");
  }

  absl::StatusOr<std::vector<std::string>> Exchange(const std::string& name, absl::string_view value,
                                                    Deadline deadline) override {
    const std::string key = absl::StrCat("lockstep.", name);
    RETURN_IF_ERROR(Put(key, absl::BytesToHexString(value)));
    RETURN_IF_ERROR(Fence(name, deadline));
    std::vector<std::string> values;
    for (int rank = 0; rank < size_; ++rank) {
      ASSIGN_OR_RETURN(std::string text, Get(key, rank, deadline));
      values.push_back(absl::HexStringToBytes(text));
    }
    return values;
  }

 private:
  absl::Status Put(const std::string& key, const std::string& text) {
    pmix_value_t value;
    PMIX_VALUE_CONSTRUCT(&value);
    value.type = PMIX_STRING;
    value.data.string = strdup(text.c_str());
    pmix_status_t status = PMIx_Put(PMIX_GLOBAL, key.c_str(), &value);
    PMIX_VALUE_DESTRUCT(&value);
    if (status == PMIX_SUCCESS) status = PMIx_Commit();
    return status == PMIX_SUCCESS ? absl::OkStatus() : PmixError("put", status);
  }

  absl::Status Fence(const std::string& name, Deadline deadline) {
    bool collect = true;
    pmix_info_t info;
    PMIX_INFO_LOAD(&info, PMIX_COLLECT_DATA, &collect, PMIX_BOOL);
    auto answer = std::make_shared<Answer>();
    auto* holder = new AnswerHolder(answer);  // owned by the callback
    const pmix_status_t started = PMIx_Fence_nb(nullptr, 0, &info, 1, OnFence, holder);
    if (started != PMIX_SUCCESS) {
      delete holder;
      return PmixError("fence", started);
    }
    if (!Await(*answer, deadline)) {
      return DeadlineError(
          absl::StrCat("waiting for all ", size_, " ranks at '", name,
                       "' through PMIx: not all came. Did every rank start the same program?"));
    }
    return answer->status == PMIX_SUCCESS ? absl::OkStatus() : PmixError("fence", answer->status);
  }

  absl::StatusOr<std::string> Get(const std::string& key, int rank, Deadline deadline) {
    pmix_proc_t peer = self_;
    peer.rank = rank;
    auto answer = std::make_shared<Answer>();
    auto* holder = new AnswerHolder(answer);
    const pmix_status_t started = PMIx_Get_nb(&peer, key.c_str(), nullptr, 0, OnGet, holder);
    if (started != PMIX_SUCCESS) {
      delete holder;
      return PmixError(absl::StrCat("get from rank ", rank), started);
    }
    if (!Await(*answer, deadline)) return DeadlineError(absl::StrCat("PMIx: no answer about rank ", rank));
    if (answer->status != PMIX_SUCCESS)
      return PmixError(absl::StrCat("get from rank ", rank), answer->status);
    return answer->value;
  }

  const pmix_proc_t self_;
  const int rank_, size_;
  std::string secret_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Meeting>> JoinPmixMeeting(int rank, int size, Deadline deadline) {
  ASSIGN_OR_RETURN(const pmix_proc_t self, Init(deadline));
  auto meeting = std::make_unique<PmixMeeting>(self, rank, size);
  if (self.rank != static_cast<pmix_rank_t>(rank)) {
    return absl::UnavailableError(absl::StrCat("PMIx says rank ", self.rank, ", the environment ", rank));
  }
  RETURN_IF_ERROR(meeting->ShareSecret(deadline));
  return std::unique_ptr<Meeting>(std::move(meeting));
}

}  // namespace lockstep::comm
