#include "runtime/data/image/image_source.h"

#include <utility>
#include <vector>

#include "runtime/core/aligned_buffer.h"
#include "runtime/data/scratch_pool.h"

namespace lockstep::data {
namespace {

class ImageSource final : public SampleSource {
 public:
  ImageSource(std::shared_ptr<const Dataset> dataset, std::string feature, ImageTransform transform,
              ExampleParser label)
      : dataset_(std::move(dataset)),
        feature_(std::move(feature)),
        transform_(std::move(transform)),
        label_(std::move(label)) {
    const ImageOptions& o = transform_.options();
    inputs_.push_back({"image", {DType::kF32, Shape{o.height, o.width, o.channels}}});
    inputs_.push_back({label_.features()[0].name, label_.features()[0].type});
  }

  int64_t size() const override { return dataset_->size(); }
  const std::vector<InputSpec>& inputs() const override { return inputs_; }
  const std::string& fingerprint() const override { return dataset_->fingerprint(); }
  std::string Describe(int64_t sample) const override { return dataset_->Describe(sample); }
  void Prefetch(int64_t sample) const override { dataset_->Prefetch(sample); }
  std::shared_ptr<const void> Announce(absl::Span<const int64_t> samples) const override {
    return dataset_->Announce(samples);
  }

  absl::Status Decode(int64_t sample, absl::Span<std::byte* const> outputs) const override {
    return DecodeAt(sample, sample, outputs);
  }

  absl::Status DecodeAt(int64_t sample, int64_t position,
                        absl::Span<std::byte* const> outputs) const override {
    ASSIGN_OR_RETURN(const RecordView record, dataset_->Record(sample));
    const absl::Status decoded = DecodeRecord(record, position, outputs);
    return decoded.ok() ? decoded : Annotate(decoded, Describe(sample));
  }

 private:
  using Scratch = ImageTransform::Scratch;

  absl::Status DecodeRecord(absl::string_view record, int64_t position,
                            absl::Span<std::byte* const> outputs) const {
    RETURN_IF_ERROR(label_.Parse(record, outputs.subspan(1, 1)));
    ASSIGN_OR_RETURN(const absl::string_view bytes, BytesFeature(record, feature_));
    const absl::Status applied = scratches_.With([&](Scratch* scratch) {
      return transform_.Apply(bytes, position, scratch, reinterpret_cast<float*>(outputs[0]));
    });
    return applied.ok() ? applied : Annotate(applied, absl::StrCat("feature '", feature_, "'"));
  }

  const std::shared_ptr<const Dataset> dataset_;
  const std::string feature_;
  const ImageTransform transform_;
  const ExampleParser label_;
  std::vector<InputSpec> inputs_;
  const ScratchPool<Scratch> scratches_;
};

}  // namespace

absl::StatusOr<std::shared_ptr<const SampleSource>> MakeImageSource(std::shared_ptr<const Dataset> dataset,
                                                                    std::string feature, ImageOptions options,
                                                                    FeatureSpec label) {
  ASSIGN_OR_RETURN(ImageTransform transform, ImageTransform::Create(std::move(options)));
  ASSIGN_OR_RETURN(ExampleParser parser, ExampleParser::Create({std::move(label)}));
  auto source = std::make_shared<ImageSource>(std::move(dataset), std::move(feature), std::move(transform),
                                              std::move(parser));
  AlignedBytes image(source->inputs()[0].type.size_bytes()),
      first_label(source->inputs()[1].type.size_bytes());
  RETURN_IF_ERROR(source->Decode(0, {image.data(), first_label.data()}));
  return std::shared_ptr<const SampleSource>(std::move(source));
}

}  // namespace lockstep::data
