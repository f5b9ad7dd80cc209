// Updates of parameters: flat functions over ranges of floats, for the training loop.
//
// Each is a function of its own elements alone, so a tensor may be updated whole or in ranges, by any owner,
// with the same bits; ranges may begin anywhere. The spans of one call have equal lengths and do not overlap.
// Thread-safe, no allocation.
#ifndef LOCKSTEP_KERNELS_OPTIMIZER_H_
#define LOCKSTEP_KERNELS_OPTIMIZER_H_

#include <cstdint>

#include "absl/types/span.h"

namespace lockstep::kernels {

// AdamW with decoupled weight decay (Loshchilov, Hutter, arXiv:1711.05101), as torch.optim.AdamW:
//   g = gradient_scale gradient;  p -= lr weight_decay p;  m += (1 - beta1)(g - m);  v = beta2 v + (1 -
//   beta2) g^2 p -= lr / (1 - beta1^t) m / (sqrt(v) / sqrt(1 - beta2^t) + epsilon)
struct AdamWStep {
  double learning_rate = 1e-3, beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8, weight_decay = 0.01;
  double gradient_scale = 1;  // clipping, loss scale and the division by the global weight, in one factor
  int64_t step = 1;           // t, counted from 1
};
void AdamW(const AdamWStep& step, absl::Span<const float> gradient, absl::Span<float> parameter,
           absl::Span<float> m, absl::Span<float> v);

// SGD as torch.optim.SGD (dampening 0): g = gradient_scale gradient + weight_decay p;  b = momentum b + g (b
// = g in step 1); p -= lr (nesterov ? g + momentum b : b). Without momentum p -= lr g, and `buffer` may be
// empty.
struct SgdStep {
  double learning_rate = 0.1, momentum = 0, weight_decay = 0;
  double gradient_scale = 1;
  bool nesterov = false;
  int64_t step = 1;
};
void Sgd(const SgdStep& step, absl::Span<const float> gradient, absl::Span<float> parameter,
         absl::Span<float> buffer);

// average += (1 - decay)(parameter - average)
void UpdateAverage(double decay, absl::Span<const float> parameter, absl::Span<float> average);

void AddInto(absl::Span<const float> from, absl::Span<float> sum);  // sum += from
void AddScaledInto(float scale, absl::Span<const float> from,
                   absl::Span<float> sum);  // sum += scale from, rounded once
void ScaledCopy(float scale, absl::Span<const float> from,
                absl::Span<float> to);  // to = scale from; may be the same span

// The sum of squares of a tensor is a balanced tree over chunks of kNormChunk elements, counted from the
// tensor's start (the last may be shorter). Owners sum chunks; TreeSum adds the chunk sums of a whole tensor,
// in order.
inline constexpr int64_t kNormChunk = 4096;
// `part` begins at a multiple of kNormChunk of its tensor and ends at one or at the tensor's end. Writes one
// double a chunk.
void ChunkSumsOfSquares(absl::Span<const float> part, absl::Span<double> sums);
// Neighbours are added pairwise, level by level. Overwrites `sums`; 0 for none.
double TreeSum(absl::Span<double> sums);

// Index of the first NaN or infinity, or -1.
int64_t FindNonFinite(absl::Span<const float> values);

}  // namespace lockstep::kernels

#endif  // LOCKSTEP_KERNELS_OPTIMIZER_H_
