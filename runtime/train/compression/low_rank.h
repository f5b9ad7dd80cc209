// The arithmetic of low-rank approximation: products of a matrix with thin ones, and orthonormal columns.
//
// M is row-major [rows x columns]. The thin matrices P [rows x rank] and Q [columns x rank] are kept
// transposed, so that each of their columns is contiguous: column k of P is p[k * rows ..]. Every element
// of a result is computed in one fixed order, whichever block of rows or columns a call covers, so work may
// be cut anywhere without changing a bit. For threads in the modes of LaneArithmetic
// (runtime/core/thread.h).
#ifndef LOCKSTEP_RUNTIME_TRAIN_COMPRESSION_LOW_RANK_H_
#define LOCKSTEP_RUNTIME_TRAIN_COMPRESSION_LOW_RANK_H_

#include <cstdint>

namespace lockstep::train {

struct MatrixShape {
  int64_t rows = 0, columns = 0;
  int rank = 0;  // of the thin matrices
};

// Rows row_begin .. row_end-1 of P = M Q.
void MultiplyRows(const MatrixShape& shape, const float* m, const float* q, int64_t row_begin,
                  int64_t row_end, float* p);
// Rows column_begin .. column_end-1 of Q = M^T P.
void MultiplyColumns(const MatrixShape& shape, const float* m, const float* p, int64_t column_begin,
                     int64_t column_end, float* q);
// out [columns] = row `row` of P Q^T.
void ExpandRow(const MatrixShape& shape, const float* p, const float* q, int64_t row, float* out);

// Makes the `rank` columns of `p` (`rows` each) orthonormal, in order, by modified Gram-Schmidt in double,
// every projection twice (which keeps the columns orthogonal to rounding: Giraud, Langou, Rozloznik, "The
// loss of orthogonality in the Gram-Schmidt orthogonalization process", 2005). A column that depends on
// those before it up to rounding becomes zero. Returns how many are not zero.
int Orthonormalize(int64_t rows, int rank, float* p);

// Scales `column` to length 1. False, with the column unchanged, when it is zero or not finite.
bool Normalize(int64_t elements, float* column);

}  // namespace lockstep::train

#endif  // LOCKSTEP_RUNTIME_TRAIN_COMPRESSION_LOW_RANK_H_
