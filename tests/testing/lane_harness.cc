#include "tests/testing/lane_harness.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <utility>

#include "runtime/core/rng.h"
#include "runtime/core/thread.h"

namespace lockstep::graph {

Tensor PerSample(Builder& b, absl::string_view name, const Shape& shape, const Initializer& initializer) {
  const Tensor table = b.Parameter(name, {b.micro_batch(), shape.NumElements()}, initializer);
  const Tensor sample = b.Input(absl::StrCat("sample:", name), DType::kI64, {});
  return b.Reshape(b.Embedding(sample, table), shape);
}

LaneHarness::LaneHarness(const ModelFunction& model, const HarnessOptions& options) {
  PrepareLaneThread();
  Builder builder(options.micro_batch);
  model(builder);
  absl::StatusOr<Graph> graph = std::move(builder).Finish();
  if (!graph.ok()) {
    ADD_FAILURE() << graph.status();
    return;
  }
  absl::StatusOr<std::shared_ptr<const LaneProgram>> program = Compile(*graph, options.compile);
  if (!program.ok()) {
    ADD_FAILURE() << program.status();
    return;
  }
  program_ = *program;
  const ParameterLayout& layout = program_->parameter_layout();
  parameters_ = AlignedBuffer<float>(layout.total_elements);
  gradients_ = AlignedBuffer<float>(layout.total_elements);
  states_ = AlignedBuffer<float>(program_->state_layout().total_elements);
  deltas_ = AlignedBuffer<float>(program_->state_layout().total_elements);
  weights_ = AlignedBuffer<float>(static_cast<size_t>(options.micro_batch));
  std::fill(weights_.span().begin(), weights_.span().end(), 1.0f);
  InitializeParameters(layout, options.seed, parameters_.span());
  InitializeStates(program_->state_layout(), states_.span());
  FillInputs(options);
  for (int64_t i = 0; i < options.micro_batch; ++i) positions_.push_back(100 + i);
  args_.parameters = parameters_.data();
  args_.gradients = gradients_.data();
  args_.states = states_.data();
  args_.state_deltas = deltas_.data();
  args_.sample_weights = weights_.data();
  args_.inputs = input_pointers_;
  args_.context.dropout_key = DeriveKey(options.seed, "dropout");
  args_.context.positions = positions_;
  runner_ = std::make_unique<LaneRunner>(program_);
}

void LaneHarness::FillInputs(const HarnessOptions& options) {
  for (const Input& input : program_->inputs()) {
    AlignedBytes bytes(input.type.size_bytes());
    const auto count = static_cast<size_t>(input.type.shape.NumElements());
    const uint64_t key = DeriveKey(options.seed, input.name);
    const bool iota = input.name.rfind("sample:", 0) == 0;
    const auto draw = [&](size_t i) {
      return iota ? static_cast<int64_t>(i) : static_cast<int64_t>(Mix64(key + i) % options.label_limit);
    };
    switch (input.type.dtype) {
      case DType::kF32:
        FillNormal(key, 0, 1, {reinterpret_cast<float*>(bytes.data()), count});
        break;
      case DType::kI64:
        for (size_t i = 0; i < count; ++i) reinterpret_cast<int64_t*>(bytes.data())[i] = draw(i);
        break;
      case DType::kI32:
        for (size_t i = 0; i < count; ++i)
          reinterpret_cast<int32_t*>(bytes.data())[i] = static_cast<int32_t>(draw(i));
        break;
      default:
        for (size_t i = 0; i < count; ++i)
          reinterpret_cast<uint8_t*>(bytes.data())[i] = static_cast<uint8_t>(draw(i));
    }
    inputs_.push_back(std::move(bytes));
  }
  for (const AlignedBytes& bytes : inputs_) input_pointers_.push_back(bytes.data());
}

double LaneHarness::Run() {
  const absl::Status status = TryRun();
  EXPECT_TRUE(status.ok()) << status;
  return result_.loss.sum;
}

absl::Span<float> LaneHarness::Part(AlignedBuffer<float>& buffer, absl::string_view name) {
  const int i = program_->parameter_layout().Find(name);
  if (i < 0) {
    ADD_FAILURE() << "no parameter " << name;
    return {};
  }
  const ParameterLayout::Entry& entry = program_->parameter_layout().entries[static_cast<size_t>(i)];
  return buffer.span().subspan(entry.offset, entry.elements);
}

absl::Span<float> LaneHarness::StatePart(AlignedBuffer<float>& buffer, absl::string_view name) {
  const int i = program_->state_layout().Find(name);
  if (i < 0) {
    ADD_FAILURE() << "no state " << name;
    return {};
  }
  const StateLayout::Entry& entry = program_->state_layout().entries[static_cast<size_t>(i)];
  return buffer.span().subspan(entry.offset, entry.elements);
}

}  // namespace lockstep::graph
