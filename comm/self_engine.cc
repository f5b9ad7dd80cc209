// A world of one: copies what must be copied.
#include <utility>

#include "comm/engine.h"
#include "comm/reduce/reduce.h"
#include "runtime/core/aligned_buffer.h"

namespace lockstep::comm {
namespace {

class SelfEngine : public Engine {
 public:
  int rank() const override { return 0; }
  int size() const override { return 1; }
  std::string backend() const override { return "self"; }
  std::string Describe() const override { return "1 rank"; }

  absl::Status Run(const Call& call, RunContext&) override {
    const void* in = call.lanes > 0 ? call.parts[0].buffer.data : call.in.data;
    if (call.kind == Collective::kBroadcast) return absl::OkStatus();
    if (call.wire != Wire::kFull) {
      ReduceProgram(1, {}, ReduceOp::kSum, call.dtype(), 1, call.wire)
          .Run(&in, call.out.data, call.out.count);
    } else {
      CopyBytes(call.out.data, in, call.out.count * SizeOf(call.out.dtype));
    }
    return absl::OkStatus();
  }

  absl::StatusOr<PeerBuffer> AllocatePeerBuffer(size_t size_bytes) override {
    return AllocatePlainBuffer(size_bytes);
  }
  void Interrupt(const absl::Status&) override {}
  void ReportFailure(const absl::Status&) override {}
};

}  // namespace

absl::StatusOr<PeerBuffer> AllocatePlainBuffer(size_t size_bytes) {
  auto memory = std::make_shared<AlignedBytes>(size_bytes);
  std::byte* const data = memory->data();
  return PeerBuffer(data, size_bytes, std::move(memory));
}

std::unique_ptr<Engine> MakeSelfEngine() { return std::make_unique<SelfEngine>(); }

}  // namespace lockstep::comm
