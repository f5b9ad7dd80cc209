// Resizing by weighted sums: bilinear with pixel centres at halves where it enlarges, the same triangle
// stretched over the pixels that fall together (antialiasing) where it shrinks. This is what Pillow's
// BILINEAR and torchvision's antialias=True compute, here in fp32 and without rounding in between.
//
// Each output is one chain of rounded products and rounded sums, in the order of the input pixels, whatever
// the instruction set: the same bits everywhere.
#ifndef LOCKSTEP_RUNTIME_DATA_IMAGE_RESAMPLE_H_
#define LOCKSTEP_RUNTIME_DATA_IMAGE_RESAMPLE_H_

#include <vector>

#include "runtime/data/image/crop.h"
#include "runtime/data/image/pixels.h"

namespace lockstep::data {

// The weights of one axis: output i is the sum over k of weights[i * most + k] * input[first[i] + k], k <
// count[i]. Reused; memory only grows.
struct Taps {
  int most = 0;  // of one output
  std::vector<int> first, count;
  std::vector<float> weights;

  void Compute(const Axis& axis);
  void Mirror();  // output i changes places with output size - 1 - i
};

// The input pixels that the taps of `axis` touch: [*begin, *end), within [low, high) and never empty.
void TouchedBy(const Axis& axis, int* begin, int* end);

// Rows by `y`, then columns by `x`, whose inputs all lie in `in.window()`. `out`: [y][x][in.channels()]
// floats in the range of the bytes, the fourth channel without meaning. `row`: scratch, grown as needed.
void Resample(const Pixels& in, const Taps& y, const Taps& x, std::vector<float>* row, float* out);

}  // namespace lockstep::data

#endif  // LOCKSTEP_RUNTIME_DATA_IMAGE_RESAMPLE_H_
