#include "runtime/data/image/image_transform.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "runtime/core/rng.h"
#include "runtime/data/image/resample.h"

namespace lockstep::data {
namespace {

// The smallest of the scales that libjpeg-turbo has fast code for at which the sample still need not be
// enlarged: a quarter of the pixels costs well under half the time.
int ShrinkFor(const Crop& crop) {
  int shrink = 8;
  while (shrink > 1 && std::min(crop.x.step, crop.y.step) < shrink) shrink /= 2;
  return shrink;
}

absl::Status CheckBox(const RandomBox& box) {
  if (!(box.min_area > 0 && box.min_area <= box.max_area && box.max_area <= 1)) {
    return ConfigError(absl::StrCat("random crop: areas from ", box.min_area, " to ", box.max_area,
                                    "; they must be above 0, at most 1, and in order"));
  }
  if (!(box.min_aspect >= 1e-3 && box.min_aspect <= box.max_aspect && box.max_aspect <= 1e3)) {
    return ConfigError(absl::StrCat("random crop: aspects from ", box.min_aspect, " to ", box.max_aspect,
                                    "; they must be in [0.001, 1000] and in order"));
  }
  return absl::OkStatus();
}

absl::Status CheckJitter(const JitterRange& jitter) {
  for (const float range : {jitter.brightness, jitter.contrast, jitter.saturation}) {
    if (!(range >= 0 && range <= 1))
      return ConfigError(absl::StrCat("colour jitter: ", range, " is not in [0, 1]"));
  }
  return absl::OkStatus();
}

}  // namespace

struct ImageTransform::Scratch::Buffers {
  Pixels pixels;
  Taps y, x;
  std::vector<float> row, sample;
};

ImageTransform::Scratch::Scratch() : buffers_(std::make_unique<Buffers>()) {}
ImageTransform::Scratch::~Scratch() = default;

absl::StatusOr<ImageTransform> ImageTransform::Create(ImageOptions options) {
  if (options.height < 1 || options.width < 1 ||
      int64_t{options.height} * options.width > kMostSamplePixels ||
      (options.channels != 1 && options.channels != 3)) {
    return ConfigError(absl::StrCat("a sample of [", options.height, ", ", options.width, ", ",
                                    options.channels, "]; images are [height, width, 3 or 1] of at most ",
                                    kMostSamplePixels, " pixels"));
  }
  if (options.short_side != 0 && options.short_side < std::max(options.height, options.width)) {
    return ConfigError(absl::StrCat("resize to a short side of ", options.short_side,
                                    " leaves less than the sample's ", options.height, " x ", options.width));
  }
  const size_t channels = static_cast<size_t>(options.channels);
  if (options.mean.empty()) options.mean.assign(channels, 0.0f);
  if (options.std.empty()) options.std.assign(channels, 1.0f);
  if (options.mean.size() != channels || options.std.size() != channels) {
    return ConfigError(absl::StrCat(options.mean.size(), " means and ", options.std.size(),
                                    " standard deviations for ", options.channels, " channels"));
  }
  for (size_t c = 0; c < channels; ++c) {
    if (!std::isfinite(options.mean[c]) || !(options.std[c] > 0) || !std::isfinite(options.std[c])) {
      return ConfigError("means must be finite, and standard deviations above 0");
    }
  }
  if (options.random_crop.has_value()) RETURN_IF_ERROR(CheckBox(*options.random_crop));
  RETURN_IF_ERROR(CheckJitter(options.jitter));
  return ImageTransform(std::move(options));
}

ImageTransform::ImageTransform(ImageOptions options)
    : options_(std::move(options)), key_(DeriveKey(options_.seed, "augment/image")) {
  for (size_t c = 0; c < options_.mean.size(); ++c) {
    const double std = options_.std[c];
    normalisation_.scale[c] = static_cast<float>(1 / (255 * std));
    normalisation_.offset[c] = static_cast<float>(-options_.mean[c] / std);
  }
}

Crop ImageTransform::DrawCrop(int picture_width, int picture_height, int64_t position) const {
  const ImageOptions& o = options_;
  Crop crop =
      o.random_crop.has_value()
          ? RandomCrop(picture_width, picture_height, o.width, o.height, *o.random_crop, key_, position)
          : CentreCrop(picture_width, picture_height, o.width, o.height, o.short_side);
  crop.mirrored = o.flip && DrawFlip(key_, position);
  return crop;
}

absl::Status ImageTransform::Apply(absl::string_view bytes, int64_t position, Scratch* scratch,
                                   float* out) const {
  Scratch::Buffers& buffers = *scratch->buffers_;
  ASSIGN_OR_RETURN(auto decoder, ImageDecoder::Open(bytes, options_.limits));
  Crop crop = DrawCrop(decoder->width(), decoder->height(), position);
  DecodeRequest request;
  request.gray = options_.channels == 1;
  request.shrink = decoder->can_shrink() ? ShrinkFor(crop) : 1;
  crop.x = Shrunk(crop.x, request.shrink, decoder->width());
  crop.y = Shrunk(crop.y, request.shrink, decoder->height());
  int right = 0, bottom = 0;
  TouchedBy(crop.x, &request.window.x, &right);
  TouchedBy(crop.y, &request.window.y, &bottom);
  request.window.width = right - request.window.x;
  request.window.height = bottom - request.window.y;
  RETURN_IF_ERROR(decoder->Decode(request, &buffers.pixels));

  buffers.x.Compute(crop.x);
  buffers.y.Compute(crop.y);
  if (crop.mirrored) buffers.x.Mirror();
  const int64_t count = int64_t{options_.height} * options_.width;
  buffers.sample.resize(static_cast<size_t>(count) * 4 + kPixelSlack);
  Resample(buffers.pixels, buffers.y, buffers.x, &buffers.row, buffers.sample.data());
  const Jitter jitter = DrawJitter(options_.jitter, key_, position);
  (options_.channels == 1 ? FinishGray : FinishRgb)(jitter, normalisation_, count, buffers.sample.data(),
                                                    out);
  return absl::OkStatus();
}

}  // namespace lockstep::data
