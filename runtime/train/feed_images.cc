#include "runtime/train/feed_images.h"

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
  return data::MakeImageSource(std::move(dataset), config.feature(), std::move(options), std::move(label));
}

}  // namespace lockstep::train
