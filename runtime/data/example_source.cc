// Samples that are records of features.
#include <utility>

#include "runtime/core/aligned_buffer.h"
#include "runtime/data/sources.h"

namespace lockstep::data {
namespace {

class ExampleSource final : public SampleSource {
 public:
  ExampleSource(std::shared_ptr<const Dataset> dataset, ExampleParser parser)
      : dataset_(std::move(dataset)), parser_(std::move(parser)) {
    for (const FeatureSpec& feature : parser_.features()) inputs_.push_back({feature.name, feature.type});
  }

  int64_t size() const override { return dataset_->size(); }
  const std::vector<InputSpec>& inputs() const override { return inputs_; }
  const std::string& fingerprint() const override { return dataset_->fingerprint(); }
  std::string Describe(int64_t sample) const override { return dataset_->Describe(sample); }

  void Prefetch(int64_t sample) const override { dataset_->Prefetch(sample); }

  absl::Status Decode(int64_t sample, absl::Span<std::byte* const> outputs) const override {
    ASSIGN_OR_RETURN(const absl::string_view record, dataset_->Record(sample));
    const absl::Status parsed = parser_.Parse(record, outputs);
    RETURN_IF_ERROR(dataset_->CheckWhole(sample));  // the bytes may have vanished after they were compared
    return parsed.ok() ? parsed : Annotate(parsed, Describe(sample));
  }

 private:
  const std::shared_ptr<const Dataset> dataset_;
  const ExampleParser parser_;
  std::vector<InputSpec> inputs_;
};

// A configuration that fits no record is told before anything is started.
absl::Status TryFirst(const SampleSource& source) {
  std::vector<AlignedBytes> buffers;
  std::vector<std::byte*> outputs;
  for (const InputSpec& input : source.inputs()) {
    buffers.emplace_back(input.type.size_bytes());
    outputs.push_back(buffers.back().data());
  }
  return source.Decode(0, outputs);
}

}  // namespace

absl::StatusOr<std::shared_ptr<const SampleSource>> MakeExampleSource(std::shared_ptr<const Dataset> dataset,
                                                                      std::vector<FeatureSpec> features) {
  ASSIGN_OR_RETURN(ExampleParser parser, ExampleParser::Create(std::move(features)));
  auto source = std::make_shared<ExampleSource>(std::move(dataset), std::move(parser));
  RETURN_IF_ERROR(TryFirst(*source));
  return std::shared_ptr<const SampleSource>(std::move(source));
}

}  // namespace lockstep::data
