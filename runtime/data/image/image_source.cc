#include "runtime/data/image/image_source.h"

#include <utility>
#include <vector>

#include "runtime/data/scratch_pool.h"
#include "runtime/data/try_first.h"

namespace lockstep::data {
namespace {

class ImageSource final : public SampleSource {
 public:
  ImageSource(std::shared_ptr<const Dataset> dataset, std::string feature, ImageTransform transform,
              ExampleParser label, std::optional<ImageMixOptions> mix)
      : dataset_(std::move(dataset)),
        feature_(std::move(feature)),
        transform_(std::move(transform)),
        label_(std::move(label)) {
    const ImageOptions& o = transform_.options();
    const FeatureSpec& spec = label_.features()[0];
    inputs_.push_back({"image", {DType::kF32, Shape{o.height, o.width, o.channels}}});
    inputs_.push_back({spec.name, spec.type});
    if (!mix) return;
    mix->height = o.height;
    mix->width = o.width;
    mix->channels = o.channels;
    mixer_.emplace(*mix);
    inputs_.push_back({absl::StrCat(spec.name, ".other"), spec.type});
    inputs_.push_back({absl::StrCat(spec.name, ".share"), {DType::kF32, Shape{}}});
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
    if (decoded.ok() && mixer_) {
      *reinterpret_cast<int64_t*>(outputs[2]) = *reinterpret_cast<const int64_t*>(outputs[1]);
      *reinterpret_cast<float*>(outputs[3]) = 1;
    }
    return decoded.ok() ? decoded : Annotate(decoded, Describe(sample));
  }

  void MixBatch(absl::Span<const int64_t> positions, absl::Span<const float> weights,
                absl::Span<std::byte* const> inputs) const override {
    if (!mixer_) return;
    mixer_->Apply(positions, weights, reinterpret_cast<float*>(inputs[0]),
                  reinterpret_cast<const int64_t*>(inputs[1]), reinterpret_cast<int64_t*>(inputs[2]),
                  reinterpret_cast<float*>(inputs[3]));
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
  std::optional<ImageMixer> mixer_;
  std::vector<InputSpec> inputs_;
  const ScratchPool<Scratch> scratches_;
};

}  // namespace

absl::StatusOr<std::shared_ptr<const SampleSource>> MakeImageSource(std::shared_ptr<const Dataset> dataset,
                                                                    std::string feature, ImageOptions options,
                                                                    FeatureSpec label,
                                                                    std::optional<ImageMixOptions> mix) {
  if (mix && label.type != TensorType{DType::kI64, Shape{}})
    return ConfigError(absl::StrCat("mixing pictures needs a label of one class, not '", label.name, "'"));
  ASSIGN_OR_RETURN(ImageTransform transform, ImageTransform::Create(std::move(options)));
  ASSIGN_OR_RETURN(ExampleParser parser, ExampleParser::Create({std::move(label)}));
  auto source = std::make_shared<ImageSource>(std::move(dataset), std::move(feature), std::move(transform),
                                              std::move(parser), std::move(mix));
  RETURN_IF_ERROR(TryFirst(*source));
  return std::shared_ptr<const SampleSource>(std::move(source));
}

}  // namespace lockstep::data
