// The numbers of one optimizer step, worked out in double and rounded once.
#ifndef LOCKSTEP_KERNELS_CPU_OPTIMIZER_FACTORS_H_
#define LOCKSTEP_KERNELS_CPU_OPTIMIZER_FACTORS_H_

namespace lockstep::kernels::cpu {

struct AdamWFactors {
  float gradient, decay, one_minus_beta1, beta2, one_minus_beta2, step_size, inverse_root, epsilon;
};

struct SgdFactors {
  float gradient, decay, momentum, rate;
  bool nesterov, first;
};

}  // namespace lockstep::kernels::cpu

#endif  // LOCKSTEP_KERNELS_CPU_OPTIMIZER_FACTORS_H_
