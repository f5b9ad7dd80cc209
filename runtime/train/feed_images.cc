#include "runtime/train/feed_images.h"

#include <optional>
#include <utility>

#include "runtime/data/image/image_source.h"

namespace lockstep::train {
namespace {

void Augment(const ImageAugmentation& train, data::ImageOptions* options) {
  if (train.has_random_resized_crop()) {
    const RandomResizedCrop& crop = train.random_resized_crop();
    options->random_crop = {crop.min_scale(), crop.max_scale(), crop.min_ratio(), crop.max_ratio()};
  }
  options->flip = train.flip();
  options->jitter = {train.color_jitter().brightness(), train.color_jitter().contrast(),
                     train.color_jitter().saturation()};
}

bool Mixes(const ImageAugmentation& train) { return train.has_mixup() || train.has_cutmix(); }

// What of the samples each takes; neither told: half and half.
data::ImageMixOptions MixOf(const ImageAugmentation& train, uint64_t seed) {
  data::ImageMixOptions mix;
  mix.seed = seed;
  const double told = (train.mixup().has_probability() ? train.mixup().probability() : 0) +
                      (train.cutmix().has_probability() ? train.cutmix().probability() : 0);
  const int untold = (train.has_mixup() && !train.mixup().has_probability()) +
                     (train.has_cutmix() && !train.cutmix().has_probability());
  const auto rate = [&](bool has, const ImageMix& config) -> data::MixRate {
    if (!has) return {};
    return {config.has_probability() ? config.probability() : (1 - told) / untold, config.alpha()};
  };
  mix.mixup = rate(train.has_mixup(), train.mixup());
  mix.cutmix = rate(train.has_cutmix(), train.cutmix());
  return mix;
}

}  // namespace

absl::StatusOr<std::shared_ptr<const data::SampleSource>> OpenImages(
    const ImageData& config, uint64_t seed, bool augment, std::shared_ptr<const data::Dataset> dataset,
    data::FeatureSpec label) {
  if (config.shape_size() != 3) return ConfigError("data.image.shape: images are [height, width, channels]");
  data::ImageOptions options;
  options.height = config.shape(0);
  options.width = config.shape(1);
  options.channels = config.shape(2);
  options.short_side = config.eval().resize();
  options.mean = {config.mean().begin(), config.mean().end()};
  options.std = {config.std().begin(), config.std().end()};
  options.seed = seed;
  if (augment) Augment(config.train(), &options);
  std::optional<data::ImageMixOptions> mix;
  // Validation has the same inputs, with nothing mixed.
  if (Mixes(config.train())) mix = augment ? MixOf(config.train(), seed) : data::ImageMixOptions();
  return data::MakeImageSource(std::move(dataset), config.feature(), std::move(options), std::move(label),
                               mix);
}

}  // namespace lockstep::train
