// What compressors see of the flat gradient: matrices, and the rest, which travels whole.
#ifndef LOCKSTEP_RUNTIME_TRAIN_COMPRESSION_GRADIENT_PARTS_H_
#define LOCKSTEP_RUNTIME_TRAIN_COMPRESSION_GRADIENT_PARTS_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "runtime/core/shape.h"
#include "runtime/graph/parameter_layout.h"

namespace lockstep::train {

// A parameter of two or more dimensions as a row-major matrix [first dimension, product of the others].
struct GradientMatrix {
  std::string name;           // the parameter's
  Shape shape;                // the parameter's
  int64_t offset = 0;         // of its gradient in the flat gradient, elements
  int64_t memory_offset = 0;  // in the error memory, which holds the matrices one after another, elements
  int64_t rows = 0, columns = 0;
  int64_t elements() const { return rows * columns; }
};

// Elements begin .. end-1 of the flat gradient.
struct GradientRange {
  int64_t begin = 0, end = 0;
  int64_t size() const { return end - begin; }
};

struct GradientParts {
  std::vector<GradientMatrix> matrices;  // in the layout's order
  std::vector<GradientRange> whole;      // all other parameters, ascending, then the tail as the last one
  int64_t matrix_elements = 0;           // of all matrices together
  int64_t whole_elements = 0;            // of all ranges together
  int64_t tail_elements = 0;             // of the last range, which is no gradient: batch-norm statistics
};

// Pure. `compresses(rows, columns)` says whether a matrix is worth it; others are left whole. `tail_elements`
// follow the parameters in the flat gradient.
GradientParts SplitGradient(const graph::ParameterLayout& layout, int64_t tail_elements,
                            const std::function<bool(int64_t rows, int64_t columns)>& compresses);

// Copies of the whole ranges, one after another, and back.
void CopyWhole(const GradientParts& parts, const float* gradient, float* packed);
void RestoreWhole(const GradientParts& parts, const float* packed, float* gradient);

}  // namespace lockstep::train

#endif  // LOCKSTEP_RUNTIME_TRAIN_COMPRESSION_GRADIENT_PARTS_H_
