// Class labels and token ids from outside: I32 or I64, to be checked before they index anything.
#ifndef LOCKSTEP_KERNELS_CPU_IDS_H_
#define LOCKSTEP_KERNELS_CPU_IDS_H_

#include <cstdint>

#include "runtime/core/dtype.h"

namespace lockstep::kernels::cpu {

inline int64_t IdAt(const void* ids, DType dtype, int64_t i) {
  return dtype == DType::kI32 ? static_cast<const int32_t*>(ids)[i] : static_cast<const int64_t*>(ids)[i];
}

// The output `invalid` of ops.h: how many, and the index of the first or -1.
class InvalidCounter {
 public:
  explicit InvalidCounter(int64_t* output) : output_(output) {
    output_[0] = 0;
    output_[1] = -1;
  }
  void Count(int64_t index) {
    if (output_[0]++ == 0) output_[1] = index;
  }

 private:
  int64_t* output_;
};

}  // namespace lockstep::kernels::cpu

#endif  // LOCKSTEP_KERNELS_CPU_IDS_H_
