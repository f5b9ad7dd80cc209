#include <cmath>
#include <cstring>
#include <vector>

#include "kernels/cpu/factories.h"
#include "kernels/cpu/rows.h"

namespace lockstep::kernels::cpu {

KernelOr MakeRotary(const OpSpec& spec) {
  const auto a = std::get<RotaryAttributes>(spec.attributes);
  const Shape& x = spec.inputs[0].shape;
  const int64_t rows = x[0] * x[1], length = x[1], width = x[2], heads = width / a.head_size;
  const int64_t size = a.rotary_size > 0 ? a.rotary_size : a.head_size, half = size / 2;
  // Cosines and sines of every position, in double and rounded once.
  std::vector<float> cosine(length * half), sine(length * half);
  for (int64_t t = 0; t < length; ++t) {
    for (int64_t i = 0; i < half; ++i) {
      const double angle = (t + a.first_position) * std::pow(a.base, -2.0 * i / size);
      cosine[t * half + i] = std::cos(angle);
      sine[t * half + i] = a.inverse ? -std::sin(angle) : std::sin(angle);
    }
  }
  return MakeFunctionKernel(
      0, [=, cosine = std::move(cosine), sine = std::move(sine)](const KernelArgs& args) {
        const bool in_place = args.inputs[0] == args.outputs[0];
        for (int64_t r = 0; r < rows; ++r) {
          const float *from = In(args, 0) + r * width, *c = &cosine[r % length * half],
                      *s = &sine[r % length * half];
          float* to = Out(args, 0) + r * width;
          for (int64_t head = 0; head < a.rotated_heads; ++head, from += a.head_size, to += a.head_size) {
            RotateRow(from, from + half, c, s, to, to + half, half);
            if (!in_place) std::memcpy(to + size, from + size, (a.head_size - size) * sizeof(float));
          }
          if (!in_place) std::memcpy(to, from, (heads - a.rotated_heads) * a.head_size * sizeof(float));
        }
      });
}

}  // namespace lockstep::kernels::cpu
