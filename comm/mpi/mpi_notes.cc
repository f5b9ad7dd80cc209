// What a rank tells its peers beside its messages (failures, goodbyes), and how it comes to an end with
// what is under way.
#include <algorithm>
#include <cstddef>
#include <cstring>
#include <utility>

#include "absl/time/clock.h"
#include "comm/mpi/mpi_transport.h"

namespace lockstep::comm {
namespace {

constexpr int kNewsTag = 2;

constexpr absl::Duration kReportTime = absl::Milliseconds(500);
// How long what failed may take to come to an end before MPI is abandoned: first in silence, then with the
// peers told, so that they still hear it.
constexpr absl::Duration kSilentGrace = absl::Milliseconds(50), kGrace = absl::Milliseconds(200);
constexpr absl::Duration kGracePause = absl::Microseconds(100);

}  // namespace

// Receives are taken back, the rest is waited for. Heads may stay on their way, since their memory is ours (a
// small message to a rank that does not come completes when that rank does). Where MPI still knows memory of
// callers in the end, it is no longer ours to lend.
void MpiTransport::GiveUp(Batch& batch, const absl::Status& why) {
  failed_ = true;
  const Deadline silent = Deadline::After(kSilentGrace), end = Deadline::After(kGrace);
  bool told = false;
  for (bool first = true;; first = false) {
    if (!first) absl::SleepFor(kGracePause);
    std::lock_guard<std::mutex> lock(session_.mutex());
    if (session_.abandoned()) return;
    if (first) CancelReceives(batch);
    int done = 0;
    MPI_Testsome(static_cast<int>(batch.requests.size()) - 1, batch.requests.data() + 1, &done,
                 batch.indices.data(), MPI_STATUSES_IGNORE);
    size_t of_callers = 0;
    for (size_t i = 1; i < batch.requests.size(); ++i) {
      if (batch.requests[i] != MPI_REQUEST_NULL && batch.steps[i].slot == nullptr) ++of_callers;
    }
    if (of_callers == 0) return KeepHeads(batch);
    if (!told && silent.Passed()) {
      TellAll(&why);
      told = true;
    }
    if (end.Passed()) {
      return session_.Abandon(absl::StrCat(why.message(), " (", of_callers,
                                           " operations on callers' memory were left under way)"));
    }
  }
}

void MpiTransport::CancelReceives(Batch& batch) {
  batch.indices.resize(batch.requests.size());
  for (size_t i = 1; i < batch.requests.size(); ++i) {
    const bool receives = batch.steps[i].what == Step::kHead || batch.steps[i].what == Step::kPayload;
    if (receives && batch.requests[i] != MPI_REQUEST_NULL) MPI_Cancel(&batch.requests[i]);
  }
}

void MpiTransport::KeepHeads(Batch& batch) {
  for (size_t i = 1; i < batch.requests.size(); ++i) {
    if (batch.requests[i] != MPI_REQUEST_NULL) own_requests_.push_back(batch.requests[i]);
  }
}

absl::Status MpiTransport::ListenForNews() {
  const int code = MPI_Irecv(heard_.get(), sizeof(Note), MPI_BYTE, MPI_ANY_SOURCE, kNewsTag, comm_, &news_);
  return MpiStatus("MPI_Irecv", code);
}

absl::Status MpiTransport::HearNews(const MPI_Status& status) {
  int bytes = 0;
  MPI_Get_count(&status, MPI_BYTE, &bytes);
  const Note& note = *heard_;
  const int peer = status.MPI_SOURCE;
  const size_t text_bytes = std::min<size_t>(note.text_bytes, Note::kTextBytes);
  if (bytes < static_cast<int>(offsetof(Note, text) + text_bytes) || peer < 0 || peer >= size_) {
    failed_ = true;
    return PeerError(absl::StrCat("rank ", peer, " sent malformed news"));
  }
  if (note.goodbye == 0) {
    failed_ = true;
    told_ =
        StatusOfTrouble(note.trouble, note.code,
                        absl::StrCat("rank ", peer, " reports: ", absl::string_view(note.text, text_bytes)));
    return absl::OkStatus();
  }
  if (!peers_[peer].left) ++peers_left_;
  peers_[peer].left = true;
  peers_[peer].sent_in_all = note.sent;
  peers_[peer].received_in_all = note.received;
  return ListenForNews();
}

// With the session's mutex held.
void MpiTransport::TellAll(const absl::Status* failure) {
  for (int peer = 0; peer < size_; ++peer) {
    if (peer == rank_) continue;
    auto note = std::make_unique<Note>();
    note->goodbye = failure == nullptr ? 1 : 0;
    note->sent = peers_[peer].sent;
    note->received = peers_[peer].received;
    note->text_bytes = 0;
    if (failure != nullptr) {
      note->trouble = static_cast<int32_t>(TroubleOf(*failure));
      note->code = static_cast<int32_t>(failure->code());
      note->text_bytes = static_cast<uint32_t>(std::min(failure->message().size(), Note::kTextBytes));
      std::memcpy(note->text, failure->message().data(), note->text_bytes);
    }
    MPI_Request request = MPI_REQUEST_NULL;
    const int bytes = static_cast<int>(offsetof(Note, text) + note->text_bytes);
    if (MPI_Isend(note.get(), bytes, MPI_BYTE, peer, kNewsTag, comm_, &request) != MPI_SUCCESS) continue;
    notes_.push_back(std::move(note));
    own_requests_.push_back(request);
  }
}

// With the session's mutex held.
bool MpiTransport::NotesAreOut() {
  int done = 0;
  MPI_Testall(static_cast<int>(own_requests_.size()), own_requests_.data(), &done, MPI_STATUSES_IGNORE);
  return done != 0;
}

void MpiTransport::ReportFailure(const absl::Status& reason) {
  failed_ = true;
  session_.Fail();
  const Deadline deadline = Deadline::After(kReportTime);
  for (bool told = false; !deadline.Passed(); absl::SleepFor(kGracePause)) {
    std::lock_guard<std::mutex> lock(session_.mutex());
    if (session_.abandoned()) return;
    if (!told) TellAll(&reason);
    told = true;
    if (NotesAreOut()) return;
  }
}

bool MpiTransport::Close() {
  std::lock_guard<std::mutex> lock(session_.mutex());
  if (session_.abandoned()) {
    // MPI may hold on to all of it.
    for (auto& slot : slots_) slot.release();
    for (auto& note : notes_) note.release();
    heard_.release();
    return true;
  }
  if (!failed_ && !said_goodbye_) {
    said_goodbye_ = true;
    TellAll(nullptr);
  }
  while (news_ != MPI_REQUEST_NULL && !failed_) {
    int heard = 0;
    MPI_Status status;
    if (MPI_Test(&news_, &heard, &status) != MPI_SUCCESS) failed_ = true;
    if (heard == 0) break;
    news_ = MPI_REQUEST_NULL;
    HearNews(status).IgnoreError();  // who fails after this rank has left is no longer its concern
  }
  if (!NotesAreOut() || (!failed_ && peers_left_ < size_ - 1)) return false;
  if (news_ != MPI_REQUEST_NULL) {
    MPI_Cancel(&news_);
    MPI_Wait(&news_, MPI_STATUS_IGNORE);  // local: nobody has anything left to say
  }
  if (!failed_) MPI_Comm_free(&comm_);
  return true;
}

}  // namespace lockstep::comm
