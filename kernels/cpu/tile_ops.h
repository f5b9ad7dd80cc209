// The instructions of elementwise programs over one tile: short arrays in the first-level cache.
#ifndef LOCKSTEP_KERNELS_CPU_TILE_OPS_H_
#define LOCKSTEP_KERNELS_CPU_TILE_OPS_H_

#include <cstddef>
#include <cstdint>

#include "kernels/program.h"

namespace lockstep::kernels::cpu {

struct TileOperands {
  const float *a, *b, *c;  // as many as the instruction has
  float* result;           // may be any of the operands
  size_t count;
  float immediate;
};

using TileFunction = void (*)(const TileOperands&);

// The function of `op` for this machine's instruction set; null for sources and kDropout.
TileFunction FindTileFunction(ProgramOp op);

// result[i] = a[i] / (1 - rate) or 0, for elements first .. first + count - 1 of the sample at `position`, as
// program.h says.
void DropoutTile(uint64_t key, int64_t position, uint64_t first, float rate, const float* a, float* result,
                 size_t count);

void AddTile(const float* a, float* sum, size_t count);  // sum += a

}  // namespace lockstep::kernels::cpu

#endif  // LOCKSTEP_KERNELS_CPU_TILE_OPS_H_
