// Vector arithmetic on single rows, for the operators that are made of rows: softmax, attention, losses.
//
// Sums are fp32 inside pieces of at most 64 vectors and double between them.
#ifndef LOCKSTEP_KERNELS_CPU_ROWS_H_
#define LOCKSTEP_KERNELS_CPU_ROWS_H_

#include <cstdint>

namespace lockstep::kernels::cpu {

float MaxOf(const float* x, int64_t count);  // -inf for none; NaN is passed over

// y = factor exp(x - shift); returns the sum of exp(x - shift). y may be x, or null for the sum alone.
double ExpRow(const float* x, float shift, float factor, float* y, int64_t count);

void ScaleRow(float* x, float factor, int64_t count);

double Dot(const float* a, const float* b, int64_t count);

// dx = factor y (dy - shift). dx may be y or dy.
void ProbabilityGradRow(const float* y, const float* dy, float shift, float factor, float* dx, int64_t count);

double SquaredDistance(const float* a, const float* b, int64_t count);
void ScaledDifference(const float* a, const float* b, float factor, float* out,
                      int64_t count);  // factor (a - b)

// y1 = x1 cos - x2 sin, y2 = x2 cos + x1 sin. y may be x.
void RotateRow(const float* x1, const float* x2, const float* cosine, const float* sine, float* y1, float* y2,
               int64_t count);

// Where x > best or x is NaN: best = x, at = place.
void TakeLarger(const float* x, float place, float* best, float* at, int64_t count);

}  // namespace lockstep::kernels::cpu

#endif  // LOCKSTEP_KERNELS_CPU_ROWS_H_
