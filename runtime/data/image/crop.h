// Which part of a picture becomes the sample: pure functions of its size, the options and the position.
//
// All arithmetic is +, -, *, / and sqrt in double, which IEEE 754 defines to the last bit; exponential and
// logarithm are computed here, because those of C libraries differ from machine to machine.
#ifndef LOCKSTEP_RUNTIME_DATA_IMAGE_CROP_H_
#define LOCKSTEP_RUNTIME_DATA_IMAGE_CROP_H_

#include <cstdint>

namespace lockstep::data {

// One axis of the sample over one axis of the picture: the centre of sample pixel i lies at
// start + (i + 0.5) * step, in pixels of the picture (whose pixel k covers k .. k + 1). Only picture pixels
// low .. high - 1 are looked at.
struct Axis {
  double start = 0, step = 1;
  int low = 0, high = 0;
  int size = 0;  // sample pixels
};

struct Crop {
  Axis x, y;
  bool mirrored = false;  // left and right exchanged
};

// A box of a share of the picture's area and of an aspect (width / height), drawn as torchvision's
// RandomResizedCrop does: area uniformly, aspect uniformly in its logarithm, ten tries, then the largest
// centred box whose aspect is allowed.
struct RandomBox {
  double min_area = 0.08, max_area = 1;               // 0 < min <= max <= 1
  double min_aspect = 3.0 / 4, max_aspect = 4.0 / 3;  // 0 < min <= max
};
// Draws are Philox(key, position, site), sites 0 .. 9.
Crop RandomCrop(int picture_width, int picture_height, int width, int height, const RandomBox& box,
                uint64_t key, int64_t position);

// Whether the sample is mirrored: one draw, site 10.
bool DrawFlip(uint64_t key, int64_t position);

// The picture is resized so that its short side becomes `short_side` pixels (the other one rounded down), and
// the middle is cut out (half pixels rounded to even), as torchvision's Resize and CenterCrop do. short_side
// must not be below width or height; 0: the largest centred box of the sample's aspect.
Crop CentreCrop(int picture_width, int picture_height, int width, int height, int short_side);

// `axis` over the same picture at 1/shrink of its size, rounded up.
Axis Shrunk(const Axis& axis, int shrink, int picture_size);

// e^x for |x| < 700 and the natural logarithm of x > 0: the same bits everywhere, right to a few units in the
// last place.
double PortableExp(double x);
double PortableLog(double x);

}  // namespace lockstep::data

#endif  // LOCKSTEP_RUNTIME_DATA_IMAGE_CROP_H_
