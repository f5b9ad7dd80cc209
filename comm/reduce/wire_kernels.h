// fp32 to the 16-bit formats that travel and back, in vectors. The same bits as comm/reduce/half.h, which is
// the definition: integer arithmetic, so no mode of the floating-point unit matters.
#ifndef LOCKSTEP_COMM_REDUCE_WIRE_KERNELS_H_
#define LOCKSTEP_COMM_REDUCE_WIRE_KERNELS_H_

#include <cstddef>
#include <cstdint>

namespace lockstep::comm {

// Any alignment of the types; no overlap.
void PackBFloat16(const float* in, uint16_t* out, size_t count);
void UnpackBFloat16(const uint16_t* in, float* out, size_t count);
void PackFloat16(const float* in, uint16_t* out, size_t count);
void UnpackFloat16(const uint16_t* in, float* out, size_t count);

}  // namespace lockstep::comm

#endif  // LOCKSTEP_COMM_REDUCE_WIRE_KERNELS_H_
