// What data.image may say.
#include <algorithm>
#include <vector>

#include "absl/strings/str_cat.h"
#include "runtime/data/image/colour.h"
#include "runtime/train/config_checks.h"

namespace lockstep::train {
namespace {

absl::Status CheckShape(const ImageData& image) {
  const auto& shape = image.shape();
  RETURN_IF_ERROR(Needed("data.image.shape", !shape.empty()));
  if (shape.size() != 3) {
    return Wrong("data.image.shape",
                 absl::StrCat(shape.size(), " dimensions; images are [height, width, channels]"));
  }
  RETURN_IF_ERROR(AtLeast("data.image.shape", std::min(shape[0], shape[1]), 1));
  if (int64_t{shape[0]} * shape[1] > data::kMostSamplePixels) {
    return Wrong("data.image.shape", absl::StrCat(shape[0], " x ", shape[1], " pixels are too many; at most ",
                                                  data::kMostSamplePixels, " are possible"));
  }
  if (shape[2] == 1 || shape[2] == 3) return absl::OkStatus();
  return Wrong("data.image.shape", absl::StrCat(shape[2], " channels; 3 (RGB) or 1 (gray) are possible"));
}

absl::Status OneAChannel(const char* path, int values, int channels) {
  if (values == 0 || values == channels) return absl::OkStatus();
  return Wrong(path, absl::StrCat(values, " values for ", channels, " channels; give one a channel"));
}

// low in (0, high], high at most `most`.
absl::Status Ordered(const std::string& low_path, float low, const std::string& high_path, float high,
                     double most) {
  RETURN_IF_ERROR(Above(low_path, low, 0));
  RETURN_IF_ERROR(AtLeast(high_path, high, low));
  if (high <= most) return absl::OkStatus();
  return Wrong(high_path, absl::StrCat(high, " is out of range; it must be at most ", most));
}

absl::Status CheckAugmentation(const ImageAugmentation& train) {
  const RandomResizedCrop& crop = train.random_resized_crop();
  const std::string at = "data.image.train.random_resized_crop.";
  RETURN_IF_ERROR(Ordered(at + "min_scale", crop.min_scale(), at + "max_scale", crop.max_scale(), 1));
  RETURN_IF_ERROR(AtLeast(at + "min_ratio", crop.min_ratio(), 1e-3));
  RETURN_IF_ERROR(Ordered(at + "min_ratio", crop.min_ratio(), at + "max_ratio", crop.max_ratio(), 1e3));
  const ColorJitter& jitter = train.color_jitter();
  const std::vector<std::pair<const char*, float>> factors = {{"brightness", jitter.brightness()},
                                                              {"contrast", jitter.contrast()},
                                                              {"saturation", jitter.saturation()}};
  for (const auto& [name, value] : factors) {
    if (!(value >= 0 && value <= 1)) {
      return Wrong(absl::StrCat("data.image.train.color_jitter.", name),
                   absl::StrCat(value, " is out of range; it must be in [0, 1]"));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckMix(const std::string& at, const ImageMix& mix) {
  RETURN_IF_ERROR(Needed(at + ".alpha", mix.has_alpha()));
  // Below and above, draws are as good as always at the ends, or in the middle.
  RETURN_IF_ERROR(FromTo(at + ".alpha", mix.alpha(), 0.001, 1000));
  if (mix.probability() >= 0 && mix.probability() <= 1) return absl::OkStatus();
  return Wrong(at + ".probability",
               absl::StrCat(mix.probability(), " is out of range; it must be in [0, 1]"));
}

}  // namespace

absl::Status CheckMixing(const RunConfig& config) {
  const ImageAugmentation& train = config.data().image().train();
  if (!train.has_mixup() && !train.has_cutmix()) return absl::OkStatus();
  if (train.has_mixup()) RETURN_IF_ERROR(CheckMix("data.image.train.mixup", train.mixup()));
  if (train.has_cutmix()) RETURN_IF_ERROR(CheckMix("data.image.train.cutmix", train.cutmix()));
  if (train.mixup().probability() + train.cutmix().probability() > 1)
    return Wrong("data.image.train", "the probabilities of mixup and cutmix are more than 1 together");
  if (!config.data().label().has_classes())
    return Wrong("data.image.train", "mixup and cutmix mix labels of classes: they need data.label.classes");
  const int64_t micro_batch = config.global_batch() / config.lanes() / config.accumulate();
  if (micro_batch >= 2) return absl::OkStatus();
  return Wrong("data.image.train",
               "mixup and cutmix mix the pictures of a micro-batch with each other, and here one has a "
               "single picture (global_batch / lanes / accumulate); use fewer lanes or a larger batch");
}

absl::Status CheckImage(const ImageData& image) {
  RETURN_IF_ERROR(Needed("data.image.feature", !image.feature().empty()));
  RETURN_IF_ERROR(CheckShape(image));
  const int channels = image.shape(2);
  RETURN_IF_ERROR(OneAChannel("data.image.mean", image.mean_size(), channels));
  RETURN_IF_ERROR(OneAChannel("data.image.std", image.std_size(), channels));
  for (const float mean : image.mean()) {
    if (!std::isfinite(mean)) return Wrong("data.image.mean", absl::StrCat(mean, " is not a finite number"));
  }
  for (const float std : image.std()) {
    RETURN_IF_ERROR(Above("data.image.std", std, 0));
    // The offset -mean / std must be finite too.
    RETURN_IF_ERROR(AtLeast("data.image.std", std, 1e-6));
  }
  RETURN_IF_ERROR(AtLeast("data.image.eval.resize", image.eval().resize(), 0));
  const int longest = std::max(image.shape(0), image.shape(1));
  if (image.eval().resize() > 0 && image.eval().resize() < longest) {
    return Wrong("data.image.eval.resize",
                 absl::StrCat(image.eval().resize(), " is below the shape's ", longest,
                              "; resize to at least that, or leave it out"));
  }
  if (image.eval().resize() > 65536) return Wrong("data.image.eval.resize", "is above 65536");
  return CheckAugmentation(image.train());
}

}  // namespace lockstep::train
