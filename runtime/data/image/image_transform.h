// From the bytes of a picture to a sample [height, width, channels]: decode, crop, resize, flip, colours.
#ifndef LOCKSTEP_RUNTIME_DATA_IMAGE_IMAGE_TRANSFORM_H_
#define LOCKSTEP_RUNTIME_DATA_IMAGE_IMAGE_TRANSFORM_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "absl/strings/string_view.h"
#include "runtime/core/status.h"
#include "runtime/data/image/colour.h"
#include "runtime/data/image/crop.h"
#include "runtime/data/image/image_decoder.h"

namespace lockstep::data {

struct ImageOptions {
  int height = 0, width = 0;                  // of the sample, in pixels
  int channels = 3;                           // 3: RGB, 1: gray
  std::optional<RandomBox> random_crop = {};  // else the centre:
  int short_side = 0;                         // CentreCrop
  bool flip = false;                          // mirror half of the samples
  JitterRange jitter = {};
  std::vector<float> mean = {}, std = {};  // value = (v / 255 - mean[c]) / std[c]; empty: 0 and 1
  uint64_t seed = 0;                       // of all draws
  ImageLimits limits = {};
};

// Immutable and thread-safe. A sample is a function of (bytes, options, position) alone: of no thread, no
// instruction set and no other sample.
class ImageTransform {
 public:
  // Error: ConfigError saying what is out of range.
  static absl::StatusOr<ImageTransform> Create(ImageOptions options);

  const ImageOptions& options() const { return options_; }

  // Memory that one Apply needs, kept from one to the next. Not thread-safe.
  class Scratch {
   public:
    Scratch();
    ~Scratch();

   private:
    friend class ImageTransform;
    struct Buffers;
    std::unique_ptr<Buffers> buffers_;
  };

  // Writes height * width * channels floats to `out`. Error: DataError saying what is wrong with the picture.
  absl::Status Apply(absl::string_view bytes, int64_t position, Scratch* scratch, float* out) const;

 private:
  explicit ImageTransform(ImageOptions options);
  Crop DrawCrop(int picture_width, int picture_height, int64_t position) const;

  ImageOptions options_;
  uint64_t key_ = 0;
  Normalisation normalisation_;
};

}  // namespace lockstep::data

#endif  // LOCKSTEP_RUNTIME_DATA_IMAGE_IMAGE_TRANSFORM_H_
