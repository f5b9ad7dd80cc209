#include "comm/mpi/mpi_engine.h"

#include <string>
#include <utility>

#include "absl/container/inlined_vector.h"
#include "comm/mpi/mpi_mesh.h"
#include "comm/mpi/mpi_native.h"
#include "comm/mpi/mpi_session.h"
#include "comm/p2p/collectives.h"

namespace lockstep::comm {
namespace {

// Up to so many ranks messages are cheaper than steps.
constexpr int kFewRanks = 8;

class MpiEngine : public Engine {
 public:
  MpiEngine(std::unique_ptr<MpiMesh> mesh, int rank, int size, size_t largest_count)
      : mesh_(std::move(mesh)),
        collectives_(*mesh_, rank, size),
        native_(mesh_->transport(), rank, size, largest_count),
        rank_(rank),
        size_(size) {}

  int rank() const override { return rank_; }
  int size() const override { return size_; }
  std::string backend() const override { return "mpi"; }
  std::string Describe() const override {
    const std::string library = MpiLibrary();
    return absl::StrCat(size_, " ranks over MPI (", library.substr(0, library.find_first_of(",\n")), ")");
  }

  absl::Status Run(const Call& call, RunContext& context) override {
    mesh_->Enter(context);
    if (!native_.Can(call)) return collectives_.Run(call, context);
    RETURN_IF_ERROR(Agree(context.descriptor));
    RETURN_IF_ERROR(mesh_->transport().CheckNews());
    return native_.Run(call);
  }

  absl::StatusOr<PeerBuffer> AllocatePeerBuffer(size_t size_bytes) override {
    return AllocatePlainBuffer(size_bytes);
  }
  bool UsesCostModel() const override { return true; }
  void SetCostModel(const CostModel& model) override { collectives_.SetCostModel(model); }
  void Interrupt(const absl::Status& reason) override { mesh_->Interrupt(reason); }
  void ReportFailure(const absl::Status& reason) override { mesh_->ReportFailure(reason); }

 private:
  // When it returns OK, every rank has made this very call.
  absl::Status Agree(const CallDescriptor& d) {
    if (size_ <= kFewRanks) return AgreeAtOnce(d);
    for (int step = 1; step < size_; step *= 2) {
      const Outgoing send{(rank_ + step) % size_, nullptr, 0, d};
      const Incoming recv{(rank_ - step + size_) % size_, nullptr, 0, d};
      RETURN_IF_ERROR(mesh_->Exchange({&send, 1}, {&recv, 1}, "agreement"));
    }
    return absl::OkStatus();
  }

  // Everyone tells everyone: one step, and who is awaited is who is missing.
  absl::Status AgreeAtOnce(const CallDescriptor& d) {
    absl::InlinedVector<Outgoing, kFewRanks> sends;
    absl::InlinedVector<Incoming, kFewRanks> recvs;
    for (int step = 1; step < size_; ++step) {
      sends.push_back({(rank_ + step) % size_, nullptr, 0, d});
      recvs.push_back({(rank_ - step + size_) % size_, nullptr, 0, d});
    }
    return mesh_->Exchange(sends, recvs, "agreement");
  }

  const std::unique_ptr<MpiMesh> mesh_;
  P2pCollectives collectives_;
  MpiNative native_;
  const int rank_, size_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Engine>> MakeMpiEngine(Meeting& meeting, const MpiOptions& options,
                                                      Deadline deadline) {
  ASSIGN_OR_RETURN(auto mesh, OpenMpiMesh(meeting, options, deadline));
  return std::unique_ptr<Engine>(
      std::make_unique<MpiEngine>(std::move(mesh), meeting.rank(), meeting.size(), options.largest_count));
}

}  // namespace lockstep::comm
