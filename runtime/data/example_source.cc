// Samples that are records of features.
#include <utility>

#include "runtime/data/sequence_parser.h"
#include "runtime/data/sources.h"
#include "runtime/data/try_first.h"

namespace lockstep::data {
namespace {

template <typename Parser>
class RecordSource final : public SampleSource {
 public:
  RecordSource(std::shared_ptr<const Dataset> dataset, Parser parser)
      : dataset_(std::move(dataset)), parser_(std::move(parser)) {}

  int64_t size() const override { return dataset_->size(); }
  const std::vector<InputSpec>& inputs() const override { return parser_.outputs(); }
  const std::string& fingerprint() const override { return dataset_->fingerprint(); }
  std::string Describe(int64_t sample) const override { return dataset_->Describe(sample); }

  void Prefetch(int64_t sample) const override { dataset_->Prefetch(sample); }
  std::shared_ptr<const void> Announce(absl::Span<const int64_t> samples) const override {
    return dataset_->Announce(samples);
  }

  absl::Status Decode(int64_t sample, absl::Span<std::byte* const> outputs) const override {
    ASSIGN_OR_RETURN(const RecordView record, dataset_->Record(sample));
    const absl::Status parsed = parser_.Parse(record, outputs);
    RETURN_IF_ERROR(dataset_->CheckWhole(sample));  // the bytes may have vanished after they were compared
    return parsed.ok() ? parsed : Annotate(parsed, dataset_->Place(sample));
  }

 private:
  const std::shared_ptr<const Dataset> dataset_;
  const Parser parser_;
};

template <typename Parser>
absl::StatusOr<std::shared_ptr<const SampleSource>> MakeSource(std::shared_ptr<const Dataset> dataset,
                                                               Parser parser) {
  auto source = std::make_shared<RecordSource<Parser>>(std::move(dataset), std::move(parser));
  RETURN_IF_ERROR(TryFirst(*source));
  return std::shared_ptr<const SampleSource>(std::move(source));
}

}  // namespace

absl::StatusOr<std::shared_ptr<const SampleSource>> MakeExampleSource(std::shared_ptr<const Dataset> dataset,
                                                                      std::vector<FeatureSpec> features) {
  ASSIGN_OR_RETURN(ExampleParser parser, ExampleParser::Create(std::move(features)));
  return MakeSource(std::move(dataset), std::move(parser));
}

absl::StatusOr<std::shared_ptr<const SampleSource>> MakeSequenceSource(std::shared_ptr<const Dataset> dataset,
                                                                       std::vector<FeatureSpec> context,
                                                                       std::vector<FeatureSpec> lists) {
  for (const FeatureSpec& list : lists) {
    for (const FeatureSpec& feature : context) {
      if (feature.name == list.name)
        return ConfigError(
            absl::StrCat("'", list.name, "' is asked for in the context and as a list of steps"));
    }
  }
  ASSIGN_OR_RETURN(SequenceParser parser, SequenceParser::Create(std::move(context), std::move(lists)));
  return MakeSource(std::move(dataset), std::move(parser));
}

}  // namespace lockstep::data
