#include "comm/mpi/mpi_transport.h"

#include <sched.h>

#include <algorithm>
#include <cstring>
#include <set>
#include <utility>

#include "absl/strings/str_join.h"
#include "absl/time/clock.h"

namespace lockstep::comm {
namespace {

constexpr int kHeadTag = 1;
constexpr int kFirstPayloadTag = 16, kPayloadTags = 1 << 14;  // MPI promises tags up to 32767

// Who waits polls at once for some time, then lets others run, then sleeps between polls: later where
// payloads are under way, since MPI moves them in polls only, and nothing shows before a whole one is
// there.
constexpr int kSpins = 200, kYields = 2000, kBackgroundSpins = 20, kBackgroundYields = 100;
constexpr int kPayloadYields = 100'000;
constexpr absl::Duration kPatienceWhenTold = absl::Milliseconds(10);
constexpr absl::Duration kPause = absl::Microseconds(50);
constexpr int kPollsPerLook = 64;  // at the clock

}  // namespace

struct MpiTransport::Head {
  CallDescriptor descriptor;  // of the sender's call
  uint64_t payload_bytes;
};

// A head and a small payload. Together they stay below what MPI libraries send without asking (4 KiB with
// their own header, in Open MPI's shared memory).
struct MpiTransport::Slot {
  static constexpr size_t kPayloadBytes = 4000 - sizeof(Head);
  Head head;
  std::byte payload[kPayloadBytes];
};

MpiTransport::MpiTransport(MpiSession& session, MPI_Comm comm, int rank, int size,
                           size_t largest_message_bytes)
    : session_(session),
      comm_(comm),
      rank_(rank),
      size_(size),
      largest_message_bytes_(largest_message_bytes),
      peers_(size),
      heard_(std::make_unique<Note>()) {}

MpiTransport::~MpiTransport() = default;

absl::Status MpiTransport::Open() {
  std::lock_guard<std::mutex> lock(session_.mutex());
  return ListenForNews();
}

absl::Status MpiTransport::Exchange(absl::Span<const Outgoing> sends, absl::Span<const Incoming> recvs,
                                    const char* phase) {
  RETURN_IF_ERROR(session_.usable());
  if (!told_.ok()) return told_;
  Begin(batch_);
  absl::Status status;
  {
    std::lock_guard<std::mutex> lock(session_.mutex());
    status = Post(sends, recvs, batch_);
  }
  if (status.ok()) status = Finish(batch_);
  if (status.ok()) return status;
  GiveUp(batch_, status);
  return Annotate(status, absl::StrCat("phase '", phase, "'"));
}

absl::Status MpiTransport::CheckNews() {
  // What has arrived shows at the second look: MPI_Testsome looks first, and moves things then.
  constexpr int kLooks = 3;
  Begin(batch_);
  bool moved = false;
  for (int look = 0; look < kLooks && told_.ok(); ++look) RETURN_IF_ERROR(Poll(batch_, moved));
  return told_;
}

absl::Status MpiTransport::Await(MPI_Request request, const char* phase) {
  Begin(batch_);
  absl::Status status;
  {
    std::lock_guard<std::mutex> lock(session_.mutex());
    status = Add(batch_, request, {Step::kCollective, -1, 0, nullptr, nullptr});
  }
  if (status.ok()) status = Finish(batch_);
  if (status.ok()) return status;
  GiveUp(batch_, status);
  return Annotate(status, absl::StrCat("phase '", phase, "'"));
}

void MpiTransport::Begin(Batch& batch) {
  batch.requests.assign(1, news_);
  batch.steps.assign(1, Step{});
  batch.left = batch.slots = 0;
  batch.idle = 0;
  batch.payloads = false;
}

// With the session's mutex held. What was complete at once is not kept: Open MPI may give a request for it
// that MPI_Testsome passes over.
absl::Status MpiTransport::Add(Batch& batch, MPI_Request request, const Step& step) {
  if (step.what == Step::kSend || step.what == Step::kCollective) {
    int done = 0;
    RETURN_IF_ERROR(MpiStatus("MPI_Test", MPI_Test(&request, &done, MPI_STATUS_IGNORE)));
    if (done != 0) return absl::OkStatus();
  }
  batch.requests.push_back(request);
  batch.steps.push_back(step);
  batch.payloads = batch.payloads || step.slot == nullptr;
  ++batch.left;
  return absl::OkStatus();
}

MpiTransport::Slot& MpiTransport::NextSlot(Batch& batch) {
  if (batch.slots == slots_.size()) slots_.push_back(std::make_unique<Slot>());
  return *slots_[batch.slots++];
}

absl::Status MpiTransport::Post(absl::Span<const Outgoing> sends, absl::Span<const Incoming> recvs,
                                Batch& batch) {
  for (const Incoming& recv : recvs) {
    Slot& slot = NextSlot(batch);
    MPI_Request request = MPI_REQUEST_NULL;
    const int code = MPI_Irecv(&slot, sizeof slot, MPI_BYTE, recv.from, kHeadTag, comm_, &request);
    RETURN_IF_ERROR(MpiStatus("MPI_Irecv", code));
    RETURN_IF_ERROR(
        Add(batch, request, {Step::kHead, recv.from, peers_[recv.from].received++, &recv, &slot}));
  }
  for (const Outgoing& send : sends) RETURN_IF_ERROR(PostSend(send, batch));
  return absl::OkStatus();
}

absl::Status MpiTransport::PostSend(const Outgoing& send, Batch& batch) {
  Slot& slot = NextSlot(batch);
  const Step step{Step::kSend, send.to, peers_[send.to].sent++, nullptr, &slot};
  slot.head = {send.descriptor, send.size_bytes};
  const bool small = send.size_bytes <= Slot::kPayloadBytes;
  if (small && send.size_bytes > 0) std::memcpy(slot.payload, send.data, send.size_bytes);
  const size_t bytes = sizeof(Head) + (small ? send.size_bytes : 0);
  MPI_Request request = MPI_REQUEST_NULL;
  RETURN_IF_ERROR(MpiStatus(
      "MPI_Isend", MPI_Isend(&slot, static_cast<int>(bytes), MPI_BYTE, send.to, kHeadTag, comm_, &request)));
  RETURN_IF_ERROR(Add(batch, request, step));
  return small ? absl::OkStatus() : PostPayload(true, send.data, send.size_bytes, step, batch);
}

absl::Status MpiTransport::PostPayload(bool send, const void* data, size_t size_bytes, Step step,
                                       Batch& batch) {
  const int tag = kFirstPayloadTag + static_cast<int>(step.number % kPayloadTags);
  step.what = send ? Step::kSend : Step::kPayload;
  step.slot = nullptr;
  for (size_t begin = 0; begin < size_bytes; begin += largest_message_bytes_) {
    auto* const at = const_cast<std::byte*>(static_cast<const std::byte*>(data)) + begin;
    const int bytes = static_cast<int>(std::min(largest_message_bytes_, size_bytes - begin));
    MPI_Request request = MPI_REQUEST_NULL;
    const int code = send ? MPI_Isend(at, bytes, MPI_BYTE, step.peer, tag, comm_, &request)
                          : MPI_Irecv(at, bytes, MPI_BYTE, step.peer, tag, comm_, &request);
    RETURN_IF_ERROR(MpiStatus(send ? "MPI_Isend" : "MPI_Irecv", code));
    RETURN_IF_ERROR(Add(batch, request, step));
  }
  return absl::OkStatus();
}

absl::Status MpiTransport::Finish(Batch& batch) {
  while (batch.left > 0) {
    bool moved = false;
    RETURN_IF_ERROR(Poll(batch, moved));
    if (moved) {
      batch.idle = 0;
    } else {
      RETURN_IF_ERROR(AwaitSomething(batch));
    }
  }
  return absl::OkStatus();
}

absl::Status MpiTransport::Poll(Batch& batch, bool& moved) {
  const int count = static_cast<int>(batch.requests.size());
  batch.indices.resize(count);
  batch.statuses.resize(count);
  std::lock_guard<std::mutex> lock(session_.mutex());
  if (session_.abandoned()) return session_.usable();
  int done = 0;
  const int code =
      MPI_Testsome(count, batch.requests.data(), &done, batch.indices.data(), batch.statuses.data());
  if (code != MPI_ERR_IN_STATUS) RETURN_IF_ERROR(MpiStatus("MPI_Testsome", code));
  for (int i = 0; i < done; ++i) {  // MPI_UNDEFINED, of nothing to test, is negative
    const int index = batch.indices[i];
    const Step step = batch.steps[index];
    if (index > 0) --batch.left;
    moved = true;
    if (code == MPI_ERR_IN_STATUS && batch.statuses[i].MPI_ERROR != MPI_SUCCESS) {
      return Annotate(MpiStatus("MPI", batch.statuses[i].MPI_ERROR),
                      step.peer >= 0 ? absl::StrCat("rank ", step.peer) : "all ranks");
    }
    if (step.what == Step::kHead) RETURN_IF_ERROR(HearHead(step, batch.statuses[i], batch));
    if (step.what != Step::kNews) continue;
    news_ = MPI_REQUEST_NULL;
    RETURN_IF_ERROR(HearNews(batch.statuses[i]));
    batch.requests[0] = news_;
  }
  return absl::OkStatus();
}

absl::Status MpiTransport::HearHead(const Step& step, const MPI_Status& status, Batch& batch) {
  const Slot& slot = *step.slot;
  const Incoming& recv = *step.recv;
  int bytes = 0;
  MPI_Get_count(&status, MPI_BYTE, &bytes);
  if (bytes < static_cast<int>(sizeof(Head)))
    return PeerError(absl::StrCat("rank ", step.peer, " sent a malformed message"));
  if (!(slot.head.descriptor == recv.descriptor) || slot.head.payload_bytes != recv.size_bytes)
    return MismatchError(rank_, recv.descriptor, step.peer, slot.head.descriptor);
  if (recv.size_bytes > Slot::kPayloadBytes)
    return PostPayload(false, recv.data, recv.size_bytes, step, batch);
  if (static_cast<size_t>(bytes) != sizeof(Head) + recv.size_bytes)
    return PeerError(absl::StrCat("rank ", step.peer, " sent a malformed message"));
  if (recv.size_bytes > 0) std::memcpy(recv.data, slot.payload, recv.size_bytes);
  return absl::OkStatus();
}

absl::Status MpiTransport::AwaitSomething(Batch& batch) {
  if (interrupted_.load(std::memory_order_acquire)) return Interruption();
  if (!told_.ok()) {
    // What all have come to, before one of them failed, still comes to its end.
    if (!patience_) patience_ = Deadline::After(kPatienceWhenTold);
    if (patience_->Passed()) return told_;
  }
  if (peers_left_ > 0) RETURN_IF_ERROR(CheckThatNobodyLeft(batch));
  const int idle = ++batch.idle;
  const int spins = context_->background ? kBackgroundSpins : kSpins;
  const int yields = batch.payloads ? kPayloadYields : context_->background ? kBackgroundYields : kYields;
  if (idle > spins + yields) {
    absl::SleepFor(kPause);
  } else if (idle > spins) {
    sched_yield();
  }
  if (idle % kPollsPerLook != 0 || !context_->clock.Passed()) return absl::OkStatus();
  std::set<int> awaited;
  for (size_t i = 1; i < batch.requests.size(); ++i) {
    if (batch.requests[i] != MPI_REQUEST_NULL && batch.steps[i].peer >= 0)
      awaited.insert(batch.steps[i].peer);
  }
  return DeadlineError(
      absl::StrCat("not done within ", absl::FormatDuration(context_->clock.allowed()),
                   awaited.empty() ? ", although all ranks had come" : "; still awaited: rank ",
                   absl::StrJoin(awaited, ", ")));
}

absl::Status MpiTransport::CheckThatNobodyLeft(const Batch& batch) const {
  for (size_t i = 1; i < batch.requests.size(); ++i) {
    const Step& step = batch.steps[i];
    if (batch.requests[i] == MPI_REQUEST_NULL || step.peer < 0) continue;
    const Peer& peer = peers_[step.peer];
    const uint64_t in_all = step.what == Step::kSend ? peer.received_in_all : peer.sent_in_all;
    if (peer.left && step.number >= in_all)
      return PeerError(absl::StrCat("rank ", step.peer, " closed its communicator, but is still awaited"));
  }
  return absl::OkStatus();
}

void MpiTransport::Interrupt(const absl::Status& reason) {
  {
    std::lock_guard<std::mutex> lock(reason_mutex_);
    reason_ = reason;
  }
  interrupted_.store(true, std::memory_order_release);
}

absl::Status MpiTransport::Interruption() {
  std::lock_guard<std::mutex> lock(reason_mutex_);
  return reason_.ok() ? PeerError("interrupted") : reason_;
}

}  // namespace lockstep::comm
