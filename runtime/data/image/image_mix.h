// Mixup and cutmix: samples made of two pictures of a micro-batch, with a loss for each one's label.
#ifndef LOCKSTEP_RUNTIME_DATA_IMAGE_IMAGE_MIX_H_
#define LOCKSTEP_RUNTIME_DATA_IMAGE_IMAGE_MIX_H_

#include <cstdint>
#include <vector>

#include "absl/types/span.h"

namespace lockstep::data {

// How often, and with which share: Beta(alpha, alpha).
struct MixRate {
  double probability = 0;  // of a sample; those of mixup and cutmix are at most 1 together
  double alpha = 1;        // > 0
};

struct ImageMixOptions {
  MixRate mixup;   // value = s * own + (1 - s) * other's (Zhang et al., arXiv:1710.09412)
  MixRate cutmix;  // a box of 1 - s of the area is the other's (Yun et al., arXiv:1905.04899)
  int height = 0, width = 0, channels = 0;
  uint64_t seed = 0;
};

// What is drawn for one sample.
struct MixDraw {
  enum class Kind : uint8_t { kNone, kMixup, kCutmix };
  Kind kind = Kind::kNone;
  double share = 1;                              // s; of cutmix: 1 - what the box has of the picture
  int top = 0, bottom = 0, left = 0, right = 0;  // of cutmix: the box, [top, bottom) x [left, right)
};

// Immutable and thread-safe. What is drawn is a function of (seed, position); the other of sample i of a
// micro-batch of m is sample (i + d) mod m, with a d in [1, m) that is a function of (seed, the
// micro-batch's first position). So neither depends on which rank or thread computes it.
class ImageMixer {
 public:
  explicit ImageMixer(const ImageMixOptions& options);

  MixDraw Draw(int64_t position) const;
  int64_t Distance(int64_t first_position, int64_t micro_batch) const;  // d; 0 where m is 1

  // A micro-batch in place: images [m, height, width, channels], labels [m]; `others` [m] receives the label
  // of each one's other and `shares` [m] s. A sample of weight 0 is neither mixed nor mixed in. Needs one
  // more picture of memory.
  void Apply(absl::Span<const int64_t> positions, absl::Span<const float> weights, float* images,
             const int64_t* labels, int64_t* others, float* shares) const;

 private:
  void Mix(const MixDraw& draw, const float* other, float* image) const;

  const ImageMixOptions options_;
  const uint64_t key_;
};

// A draw of Beta(alpha, alpha) in [0, 1], number `position` of the stream `key`: by Joehnk's method up to
// alpha 1, by Cheng's BB above (L. Devroye, "Non-Uniform Random Variate Generation", chapter IX.4); the same
// on every machine.
double DrawBeta(double alpha, uint64_t key, int64_t position);

}  // namespace lockstep::data

#endif  // LOCKSTEP_RUNTIME_DATA_IMAGE_IMAGE_MIX_H_
