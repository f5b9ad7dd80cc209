// The colours of a sample: jitter, then normalisation into the lane's input buffer.
#ifndef LOCKSTEP_RUNTIME_DATA_IMAGE_COLOUR_H_
#define LOCKSTEP_RUNTIME_DATA_IMAGE_COLOUR_H_

#include <array>
#include <cstdint>

namespace lockstep::data {

// How far each factor may lie from 1, either way; 0: never.
struct JitterRange {
  float brightness = 0, contrast = 0, saturation = 0;  // [0, 1]
};

// Factors on a picture of values in [0, 255], applied in this order, each cut back to that range:
//   brightness  v = b * v
//   contrast    v = m + c * (v - m), m the mean luma of the picture, each pixel's rounded to an integer
//   saturation  v = g + s * (v - g), g the pixel's luma (RGB only)
// with luma 0.299 R + 0.587 G + 0.114 B. As torchvision's ColorJitter, but always in this order.
struct Jitter {
  float brightness = 1, contrast = 1, saturation = 1;
};
// Uniform draws, site 11.
Jitter DrawJitter(const JitterRange& range, uint64_t key, int64_t position);

// value = scale[c] * v + offset[c]
struct Normalisation {
  std::array<float, 3> scale = {1, 1, 1}, offset = {0, 0, 0};
};

// Floats that must follow the pixels of a sample, as room for whole vectors.
inline constexpr int kMostLanes = 16, kPixelSlack = 4 * kMostLanes;
inline constexpr int64_t kMostSamplePixels = int64_t{1} << 22;  // so that sums of lumas fit 32 bits

// RGBX pixels (values in [0, 255], as Resample leaves them) to [count][3]; count <= kMostSamplePixels.
// `pixels` has kPixelSlack floats more, and is scratch from here on.
void FinishRgb(const Jitter& jitter, const Normalisation& normalisation, int64_t count, float* pixels,
               float* out);
// One channel to [count][1].
void FinishGray(const Jitter& jitter, const Normalisation& normalisation, int64_t count, float* pixels,
                float* out);

}  // namespace lockstep::data

#endif  // LOCKSTEP_RUNTIME_DATA_IMAGE_COLOUR_H_
