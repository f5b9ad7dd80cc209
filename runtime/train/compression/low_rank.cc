#include "runtime/train/compression/low_rank.h"

#include <algorithm>
#include <cmath>
#include <cstddef>

namespace lockstep::train {
namespace {

// Independent partial sums of a dot product: enough for vector registers, added up in one order.
constexpr int kPartials = 16;
// Columns at a time in MultiplyColumns, whose sums stay in registers and the first-level cache.
constexpr int64_t kColumnBlock = 64;
// What is left of a column after projection, relative to its length, below which it is rounding noise.
constexpr double kDependent = 1e-6;

float Dot(const float* a, const float* b, int64_t n) {
  float partial[kPartials] = {};
  int64_t i = 0;
  for (; i + kPartials <= n; i += kPartials) {
    for (int j = 0; j < kPartials; ++j) partial[j] += a[i + j] * b[i + j];
  }
  for (int j = 0; i < n; ++i, ++j) partial[j] += a[i] * b[i];
  for (int step = kPartials / 2; step > 0; step /= 2) {
    for (int j = 0; j < step; ++j) partial[j] += partial[j + step];
  }
  return partial[0];
}

double DotInDouble(const float* a, const float* b, int64_t n) {
  double partial[4] = {};
  int64_t i = 0;
  for (; i + 4 <= n; i += 4) {
    for (int j = 0; j < 4; ++j) partial[j] += static_cast<double>(a[i + j]) * b[i + j];
  }
  for (int j = 0; i < n; ++i, ++j) partial[j] += static_cast<double>(a[i]) * b[i];
  return (partial[0] + partial[1]) + (partial[2] + partial[3]);
}

void AddScaled(float scale, const float* from, float* to, int64_t n) {
  for (int64_t i = 0; i < n; ++i) to[i] += scale * from[i];
}

}  // namespace

void MultiplyRows(const MatrixShape& shape, const float* m, const float* q, int64_t row_begin,
                  int64_t row_end, float* p) {
  for (int64_t row = row_begin; row < row_end; ++row) {
    for (int k = 0; k < shape.rank; ++k) {
      p[k * shape.rows + row] = Dot(m + row * shape.columns, q + k * shape.columns, shape.columns);
    }
  }
}

void MultiplyColumns(const MatrixShape& shape, const float* m, const float* p, int64_t column_begin,
                     int64_t column_end, float* q) {
  for (int64_t begin = column_begin; begin < column_end; begin += kColumnBlock) {
    const int64_t n = std::min(kColumnBlock, column_end - begin);
    for (int k = 0; k < shape.rank; ++k) std::fill_n(q + k * shape.columns + begin, n, 0.0f);
    for (int64_t row = 0; row < shape.rows; ++row) {
      const float* const part = m + row * shape.columns + begin;
      for (int k = 0; k < shape.rank; ++k) {
        AddScaled(p[k * shape.rows + row], part, q + k * shape.columns + begin, n);
      }
    }
  }
}

void ExpandRow(const MatrixShape& shape, const float* p, const float* q, int64_t row, float* out) {
  std::fill_n(out, shape.columns, 0.0f);
  for (int k = 0; k < shape.rank; ++k) {
    AddScaled(p[k * shape.rows + row], q + k * shape.columns, out, shape.columns);
  }
}

int Orthonormalize(int64_t rows, int rank, float* p) {
  int kept = 0;
  for (int k = 0; k < rank; ++k) {
    float* const column = p + k * rows;
    const double length = std::sqrt(DotInDouble(column, column, rows));
    for (int pass = 0; pass < 2; ++pass) {
      for (int before = 0; before < k; ++before) {
        const float* const other = p + before * rows;
        AddScaled(static_cast<float>(-DotInDouble(column, other, rows)), other, column, rows);
      }
    }
    const double left = std::sqrt(DotInDouble(column, column, rows));
    if (!(left > kDependent * length) || !Normalize(rows, column)) {
      std::fill_n(column, rows, 0.0f);
      continue;
    }
    ++kept;
  }
  return kept;
}

bool Normalize(int64_t elements, float* column) {
  const double length = std::sqrt(DotInDouble(column, column, elements));
  if (!std::isfinite(length) || length == 0) return false;
  const double scale = 1 / length;
  for (int64_t i = 0; i < elements; ++i) column[i] = static_cast<float>(column[i] * scale);
  return true;
}

}  // namespace lockstep::train
