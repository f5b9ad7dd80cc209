#include "runtime/data/columns/column_source.h"

#include <utility>

#include "runtime/core/hash.h"
#include "runtime/data/columns/column_transform.h"
#include "runtime/data/example_parser.h"
#include "runtime/data/scratch_pool.h"
#include "runtime/data/try_first.h"

namespace lockstep::data {
namespace {

class ColumnSource final : public SampleSource {
 public:
  ColumnSource(std::shared_ptr<const Dataset> dataset, ColumnTransform transform, ExampleParser label)
      : dataset_(std::move(dataset)), transform_(std::move(transform)), label_(std::move(label)) {
    const ColumnLayout& layout = transform_.layout();
    inputs_.push_back({"columns", {DType::kF32, Shape{layout.dense}}});
    inputs_.push_back({label_.features()[0].name, label_.features()[0].type});
    if (layout.slots > 0) {
      inputs_.push_back({"columns.ids", {DType::kI32, Shape{layout.slots}}});
      inputs_.push_back({"columns.weights", {DType::kF32, Shape{layout.slots}}});
    }
    Sha256 hash;
    hash.Update(dataset_->fingerprint());
    hash.Update(CanonicalText(transform_.columns()));
    fingerprint_ = hash.Hex();
  }

  int64_t size() const override { return dataset_->size(); }
  const std::vector<InputSpec>& inputs() const override { return inputs_; }
  const std::string& fingerprint() const override { return fingerprint_; }
  std::string Describe(int64_t sample) const override { return dataset_->Describe(sample); }
  void Prefetch(int64_t sample) const override { dataset_->Prefetch(sample); }
  std::shared_ptr<const void> Announce(absl::Span<const int64_t> samples) const override {
    return dataset_->Announce(samples);
  }

  absl::Status Decode(int64_t sample, absl::Span<std::byte* const> outputs) const override {
    ASSIGN_OR_RETURN(const RecordView record, dataset_->Record(sample));
    const absl::Status decoded = DecodeRecord(record, outputs);
    RETURN_IF_ERROR(dataset_->CheckWhole(sample));
    return decoded.ok() ? decoded : Annotate(decoded, dataset_->Place(sample));
  }

 private:
  using Scratch = ColumnTransform::Scratch;

  absl::Status DecodeRecord(absl::string_view record, absl::Span<std::byte* const> outputs) const {
    RETURN_IF_ERROR(label_.Parse(record, outputs.subspan(1, 1)));
    const bool tables = outputs.size() > 2;
    return scratches_.With([&](Scratch* scratch) {
      return transform_.Apply(record, scratch, reinterpret_cast<float*>(outputs[0]),
                              tables ? reinterpret_cast<int32_t*>(outputs[2]) : nullptr,
                              tables ? reinterpret_cast<float*>(outputs[3]) : nullptr);
    });
  }

  const std::shared_ptr<const Dataset> dataset_;
  const ColumnTransform transform_;
  const ExampleParser label_;
  std::vector<InputSpec> inputs_;
  std::string fingerprint_;
  const ScratchPool<Scratch> scratches_;
};

}  // namespace

absl::StatusOr<std::shared_ptr<const SampleSource>> MakeColumnSource(std::shared_ptr<const Dataset> dataset,
                                                                     std::vector<ColumnSpec> columns,
                                                                     FeatureSpec label) {
  ASSIGN_OR_RETURN(ColumnTransform transform, ColumnTransform::Create(std::move(columns)));
  ASSIGN_OR_RETURN(ExampleParser parser, ExampleParser::Create({std::move(label)}));
  auto source = std::make_shared<ColumnSource>(std::move(dataset), std::move(transform), std::move(parser));
  RETURN_IF_ERROR(TryFirst(*source));
  return std::shared_ptr<const SampleSource>(std::move(source));
}

}  // namespace lockstep::data
