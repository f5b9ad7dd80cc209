// MPI's messages between the ranks of a communicator, as an engine owns them. Internal to comm/mpi; others
// have MakeMpiMesh (comm/mpi/mpi_engine.h).
#ifndef LOCKSTEP_COMM_MPI_MPI_MESH_H_
#define LOCKSTEP_COMM_MPI_MPI_MESH_H_

#include <memory>
#include <utility>

#include "comm/mpi/mpi_engine.h"
#include "comm/mpi/mpi_transport.h"
#include "comm/p2p/transport.h"

namespace lockstep::comm {

class MpiMesh : public Mesh {
 public:
  explicit MpiMesh(std::shared_ptr<MpiTransport> transport) : transport_(std::move(transport)) {}
  // Says goodbye. What is then still under way is left to the session.
  ~MpiMesh() override;

  MpiTransport& transport() { return *transport_; }

  void Enter(RunContext& context) override { transport_->Enter(context); }
  absl::Status Exchange(absl::Span<const Outgoing> sends, absl::Span<const Incoming> recvs,
                        const char* phase) override {
    return transport_->Exchange(sends, recvs, phase);
  }
  void NoteProgress() override {}  // no pulses over MPI: it would have to be polled for them
  void Interrupt(const absl::Status& reason) override { transport_->Interrupt(reason); }
  void ReportFailure(const absl::Status& reason) override { transport_->ReportFailure(reason); }

 private:
  const std::shared_ptr<MpiTransport> transport_;
};

// As MakeMpiMesh.
absl::StatusOr<std::unique_ptr<MpiMesh>> OpenMpiMesh(Meeting& meeting, const MpiOptions& options,
                                                     Deadline deadline);

}  // namespace lockstep::comm

#endif  // LOCKSTEP_COMM_MPI_MPI_MESH_H_
