#include "comm/tcp/tcp_engine.h"

#include <utility>
#include <vector>

#include "comm/p2p/collectives.h"
#include "comm/tcp/interface.h"
#include "comm/tcp/tcp_transport.h"

namespace lockstep::comm {
namespace {

class TcpEngine : public Engine {
 public:
  TcpEngine(std::unique_ptr<Mesh> transport, int rank, int size, std::string where)
      : transport_(std::move(transport)),
        collectives_(*transport_, rank, size),
        rank_(rank),
        size_(size),
        where_(std::move(where)) {}

  int rank() const override { return rank_; }
  int size() const override { return size_; }
  std::string backend() const override { return "tcp"; }
  std::string Describe() const override { return absl::StrCat(size_, " ranks over tcp, ", where_); }
  absl::Status Run(const Call& call, RunContext& context) override {
    transport_->Enter(context);
    return collectives_.Run(call, context);
  }
  absl::StatusOr<PeerBuffer> AllocatePeerBuffer(size_t size_bytes) override {
    return AllocatePlainBuffer(size_bytes);
  }
  bool UsesCostModel() const override { return true; }
  void SetCostModel(const CostModel& model) override { collectives_.SetCostModel(model); }
  void NoteProgress() override { transport_->NoteProgress(); }
  void Interrupt(const absl::Status& reason) override { transport_->Interrupt(reason); }
  void ReportFailure(const absl::Status& reason) override { transport_->ReportFailure(reason); }

 private:
  const std::unique_ptr<Mesh> transport_;
  P2pCollectives collectives_;
  const int rank_, size_;
  const std::string where_;
};

constexpr size_t kLeastSecretBytes = 16;  // off loopback; a meeting makes 32
// Above this, a mesh of all pairs costs more sockets than it is worth at the start.
constexpr int kEagerRanks = 64;

// Every rank's status on every rank: the first failure is everyone's.
absl::Status Agree(Meeting& meeting, const std::string& name, const absl::Status& mine, Deadline deadline) {
  const auto texts = meeting.Exchange(name, mine.ok() ? "" : mine.message(), deadline);
  if (!mine.ok()) return mine;
  if (!texts.ok()) return texts.status();
  for (int rank = 0; rank < meeting.size(); ++rank) {
    if (!(*texts)[rank].empty()) return PeerError(absl::StrCat("rank ", rank, " reports: ", (*texts)[rank]));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<TcpMesh> MakeTcpMesh(Meeting& meeting, const TcpOptions& options, Deadline deadline) {
  auto transport =
      std::make_unique<TcpTransport>(HandshakeIdentity{meeting.rank(), options.generation, meeting.secret()},
                                     meeting.size(), options.payload_crc, options.pacing_bytes_per_second);
  auto address = ListenAddress(options.loopback, options.interface);
  absl::Status status = address.status();
  if (!options.loopback && meeting.secret().size() < kLeastSecretBytes) {
    status = ConfigError(
        "tcp between machines needs a secret that the ranks share, and this meeting place gave none");
  }
  if (status.ok()) status = transport->Listen(*address);
  // Who cannot listen still comes to the meeting, so that the others hear why.
  ASSIGN_OR_RETURN(auto endpoints, meeting.Exchange(absl::StrCat("tcp/", options.generation),
                                                    status.ok() ? "+" + transport->endpoint()
                                                                : absl::StrCat("-", status.message()),
                                                    deadline));
  if (!status.ok()) return status;
  for (int rank = 0; rank < meeting.size(); ++rank) {
    if (endpoints[rank].empty() || endpoints[rank][0] != '+') {
      return PeerError(absl::StrCat("rank ", rank, " reports: ", endpoints[rank].substr(0, 1000)));
    }
    endpoints[rank].erase(0, 1);
  }
  transport->SetEndpoints(std::move(endpoints));
  if (meeting.size() <= kEagerRanks) {
    const absl::Status connected = transport->ConnectAll(deadline, [&] { return meeting.Health(); });
    // A rank that could not connect at the deadline still has a moment to say so.
    RETURN_IF_ERROR(Agree(meeting, absl::StrCat("tcp/", options.generation, "/ready"), connected,
                          Deadline::After(deadline.Left() + absl::Seconds(2))));
  }
  return TcpMesh{std::move(transport),
                 options.loopback ? "on this machine (loopback)" : absl::StrCat("listening on ", *address)};
}

absl::StatusOr<std::unique_ptr<Engine>> MakeTcpEngine(Meeting& meeting, const TcpOptions& options,
                                                      Deadline deadline) {
  ASSIGN_OR_RETURN(TcpMesh made, MakeTcpMesh(meeting, options, deadline));
  return std::unique_ptr<Engine>(
      std::make_unique<TcpEngine>(std::move(made.mesh), meeting.rank(), meeting.size(), made.where));
}

}  // namespace lockstep::comm
