// Messages between ranks over MPI's point-to-point calls, under the plans of comm/p2p. Nothing here waits
// inside MPI: what was started is polled, and between polls stand the deadline, Interrupt and the peers' bad
// news.
//
// A message is a head (the sender's call, and how long the payload is), which carries a small payload itself;
// a larger one follows by pieces under a tag made of the message's number, received straight into its place.
// What a rank says beside its messages (a failure, a goodbye) has a tag of its own.
#ifndef LOCKSTEP_COMM_MPI_MPI_TRANSPORT_H_
#define LOCKSTEP_COMM_MPI_MPI_TRANSPORT_H_

#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "absl/types/span.h"
#include "comm/engine.h"
#include "comm/mpi/mpi_library.h"
#include "comm/mpi/mpi_session.h"
#include "comm/p2p/transport.h"

namespace lockstep::comm {

class MpiTransport : public Transport {
 public:
  // Takes over `comm`, whose ranks are the communicator's. `largest_message_bytes` goes in one call of MPI.
  MpiTransport(MpiSession& session, MPI_Comm comm, int rank, int size, size_t largest_message_bytes);
  // Close must have returned true.
  ~MpiTransport() override;

  absl::Status Open();  // before anything else

  void Enter(RunContext& context) { context_ = &context; }
  absl::Status Exchange(absl::Span<const Outgoing> sends, absl::Span<const Incoming> recvs,
                        const char* phase) override;
  // An error if a peer has said that it failed. A rank that comes after the others gave up hears it here,
  // before it starts something with MPI that cannot be taken back.
  absl::Status CheckNews();
  // Waits for a collective that was started on comm(). One that cannot be completed abandons MPI.
  absl::Status Await(MPI_Request request, const char* phase);

  MPI_Comm comm() const { return comm_; }
  MpiSession& session() { return session_; }

  void Interrupt(const absl::Status& reason);
  void ReportFailure(const absl::Status& reason);
  // Says goodbye the first time. True when nothing is under way any more and this may be destroyed; else call
  // it again later. The communicator is freed only when all its ranks said goodbye: what still came for a
  // freed one could reach a later one of the same number.
  bool Close();

 private:
  struct Head;
  // What a rank says beside its messages.
  struct Note {
    static constexpr size_t kTextBytes = 2000;
    uint32_t goodbye;  // else it is a failure
    int32_t trouble, code;
    uint32_t text_bytes;
    uint64_t sent, received;  // messages to and from the reader, with a goodbye
    char text[kTextBytes];
  };
  struct Slot;
  struct Step {
    enum What : uint8_t { kNews, kSend, kHead, kPayload, kCollective };
    What what = kNews;
    int peer = -1;
    uint64_t number = 0;             // of the message, among those to or from the peer
    const Incoming* recv = nullptr;  // of kHead
    Slot* slot = nullptr;            // of a head, in or out
  };
  // What is under way: requests and what they are, in step. The first is always the news.
  struct Batch {
    std::vector<MPI_Request> requests;
    std::vector<Step> steps;
    std::vector<int> indices;
    std::vector<MPI_Status> statuses;
    size_t left = 0;        // requests that are not complete, without the news
    size_t slots = 0;       // in use
    int idle = 0;           // polls in a row in which nothing happened
    bool payloads = false;  // there were some to move, or a collective
  };
  struct Peer {
    uint64_t sent = 0, received = 0;  // messages so far
    bool left = false;                // it said goodbye, having sent and received so many:
    uint64_t sent_in_all = 0, received_in_all = 0;
  };

  void Begin(Batch& batch);
  absl::Status Add(Batch& batch, MPI_Request request, const Step& step);
  Slot& NextSlot(Batch& batch);
  absl::Status Post(absl::Span<const Outgoing> sends, absl::Span<const Incoming> recvs, Batch& batch);
  absl::Status PostSend(const Outgoing& send, Batch& batch);
  absl::Status PostPayload(bool send, const void* data, size_t size_bytes, Step step, Batch& batch);
  absl::Status Finish(Batch& batch);
  absl::Status Poll(Batch& batch, bool& moved);
  absl::Status HearHead(const Step& step, const MPI_Status& status, Batch& batch);
  absl::Status AwaitSomething(Batch& batch);
  absl::Status CheckThatNobodyLeft(const Batch& batch) const;
  void GiveUp(Batch& batch, const absl::Status& why);
  void CancelReceives(Batch& batch);
  void KeepHeads(Batch& batch);

  absl::Status ListenForNews();
  absl::Status HearNews(const MPI_Status& status);
  void TellAll(const absl::Status* failure);  // null: goodbye
  bool NotesAreOut();
  absl::Status Interruption();

  MpiSession& session_;
  MPI_Comm comm_;
  const int rank_, size_;
  const size_t largest_message_bytes_;
  RunContext* context_ = nullptr;

  Batch batch_;  // kept for its memory
  std::vector<std::unique_ptr<Slot>> slots_;
  std::vector<Peer> peers_;
  int peers_left_ = 0;

  std::unique_ptr<Note> heard_;  // where the next piece of news arrives
  MPI_Request news_ = MPI_REQUEST_NULL;
  std::vector<std::unique_ptr<Note>> notes_;  // on their way to the peers
  std::vector<MPI_Request> own_requests_;  // of notes, and of heads that were given up: no memory of callers
  bool said_goodbye_ = false;
  bool failed_ = false;               // here or at a peer
  absl::Status told_;                 // the failure of a peer
  std::optional<Deadline> patience_;  // once told

  std::atomic<bool> interrupted_{false};
  std::mutex reason_mutex_;
  absl::Status reason_;
};

}  // namespace lockstep::comm

#endif  // LOCKSTEP_COMM_MPI_MPI_TRANSPORT_H_
