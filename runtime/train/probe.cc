#include "runtime/train/probe.h"

#include <cstring>
#include <numeric>
#include <vector>

#include "absl/strings/str_cat.h"
#include "runtime/core/aligned_buffer.h"
#include "runtime/core/hash.h"
#include "runtime/core/rng.h"

namespace lockstep::train {
namespace {

template <typename Integer>
void FillBits(absl::Span<Integer> out) {
  for (size_t i = 0; i < out.size(); ++i) out[i] = static_cast<Integer>(Mix64(i) & 1);
}

absl::StatusOr<AlignedBytes> MadeUpInput(const graph::Input& input) {
  const auto count = static_cast<size_t>(input.type.shape.NumElements());
  AlignedBytes bytes(count * SizeOf(input.type.dtype));
  switch (input.type.dtype) {
    case DType::kF32:
      FillUniform(DeriveKey(0, "probe/" + input.name), -1, 1,
                  {reinterpret_cast<float*>(bytes.data()), count});
      break;
    case DType::kU8:
      FillBits(absl::MakeSpan(reinterpret_cast<uint8_t*>(bytes.data()), count));
      break;
    case DType::kI32:
      FillBits(absl::MakeSpan(reinterpret_cast<int32_t*>(bytes.data()), count));
      break;
    case DType::kI64:
      FillBits(absl::MakeSpan(reinterpret_cast<int64_t*>(bytes.data()), count));
      break;
    default:
      return absl::InternalError(
          absl::StrCat("no probe for input '", input.name, "' of type ", NameOf(input.type.dtype)));
  }
  return bytes;
}

}  // namespace

absl::StatusOr<std::string> ProbeHash(std::shared_ptr<const graph::LaneProgram> program, LaneTeam& team,
                                      const ModelState& state) {
  std::vector<AlignedBytes> memory;
  graph::LaneArgs args;
  std::vector<const void*> inputs;
  for (const graph::Input& input : program->inputs()) {
    ASSIGN_OR_RETURN(AlignedBytes bytes, MadeUpInput(input));
    memory.push_back(std::move(bytes));
    inputs.push_back(memory.back().data());
  }
  AlignedBuffer<float> gradients(program->parameter_layout().total_elements);
  AlignedBuffer<float> deltas(program->state_layout().total_elements);
  std::vector<int64_t> positions(program->micro_batch());
  std::iota(positions.begin(), positions.end(), 0);
  args.parameters = state.parameters().data();
  args.gradients = gradients.data();
  args.inputs = inputs;
  args.states = state.states().data();
  args.state_deltas = deltas.data();
  args.context.positions = positions;

  graph::LaneRunner runner(program);
  graph::LaneResult result;
  absl::Status status;
  team.Run([&](int thread) {
    if (thread == 0) status = runner.Run(args, &result);
  });
  RETURN_IF_ERROR(Annotate(status, "probe step"));
  Sha256 hash;
  uint64_t loss_bits;
  std::memcpy(&loss_bits, &result.loss.sum, sizeof loss_bits);
  hash.UpdateU64(loss_bits);
  for (const auto& entry : program->parameter_layout().entries) {
    hash.Update(gradients.data() + entry.offset, entry.elements * sizeof(float));
  }
  return hash.Hex();
}

}  // namespace lockstep::train
