#include "runtime/train/compression/low_rank.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "absl/types/span.h"
#include "runtime/core/rng.h"

namespace lockstep::train {
namespace {

std::vector<float> Normal(uint64_t key, size_t n) {
  std::vector<float> values(n);
  FillNormal(key, 0, 1, absl::MakeSpan(values));
  return values;
}

TEST(LowRank, ProductsAreThoseOfTheDefinition) {
  for (const MatrixShape& shape : {MatrixShape{5, 3, 2}, MatrixShape{33, 130, 4}, MatrixShape{70, 16, 1}}) {
    const auto m = Normal(1, shape.rows * shape.columns);
    const auto q = Normal(2, shape.columns * shape.rank), p = Normal(3, shape.rows * shape.rank);
    std::vector<float> mq(shape.rows * shape.rank), mtp(shape.columns * shape.rank), row(shape.columns);
    MultiplyRows(shape, m.data(), q.data(), 0, shape.rows, mq.data());
    MultiplyColumns(shape, m.data(), p.data(), 0, shape.columns, mtp.data());
    for (int k = 0; k < shape.rank; ++k) {
      for (int64_t i = 0; i < shape.rows; ++i) {
        double sum = 0;
        for (int64_t j = 0; j < shape.columns; ++j)
          sum += static_cast<double>(m[i * shape.columns + j]) * q[k * shape.columns + j];
        EXPECT_NEAR(mq[k * shape.rows + i], sum, 1e-4);
      }
      for (int64_t j = 0; j < shape.columns; ++j) {
        double sum = 0;
        for (int64_t i = 0; i < shape.rows; ++i)
          sum += static_cast<double>(m[i * shape.columns + j]) * p[k * shape.rows + i];
        EXPECT_NEAR(mtp[k * shape.columns + j], sum, 1e-4);
      }
    }
    for (int64_t i = 0; i < shape.rows; ++i) {
      ExpandRow(shape, p.data(), q.data(), i, row.data());
      for (int64_t j = 0; j < shape.columns; ++j) {
        double sum = 0;
        for (int k = 0; k < shape.rank; ++k)
          sum += static_cast<double>(p[k * shape.rows + i]) * q[k * shape.columns + j];
        EXPECT_NEAR(row[j], sum, 1e-5);
      }
    }
  }
}

TEST(LowRank, CutsChangeNoBit) {
  const MatrixShape shape{37, 301, 3};
  const auto m = Normal(1, shape.rows * shape.columns), q = Normal(2, shape.columns * shape.rank);
  const auto p = Normal(3, shape.rows * shape.rank);
  std::vector<float> whole_p(shape.rows * shape.rank), cut_p = whole_p;
  std::vector<float> whole_q(shape.columns * shape.rank), cut_q = whole_q;
  MultiplyRows(shape, m.data(), q.data(), 0, shape.rows, whole_p.data());
  MultiplyColumns(shape, m.data(), p.data(), 0, shape.columns, whole_q.data());
  for (int64_t begin = 0; begin < shape.rows; begin += 5)
    MultiplyRows(shape, m.data(), q.data(), begin, std::min(shape.rows, begin + 5), cut_p.data());
  for (int64_t begin = 0; begin < shape.columns; begin += 77)
    MultiplyColumns(shape, m.data(), p.data(), begin, std::min(shape.columns, begin + 77), cut_q.data());
  EXPECT_EQ(cut_p, whole_p);
  EXPECT_EQ(cut_q, whole_q);
}

double DotOf(const float* a, const float* b, int64_t n) {
  double sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += static_cast<double>(a[i]) * b[i];
  return sum;
}

TEST(LowRank, OrthonormalColumns) {
  constexpr int64_t kRows = 50;
  constexpr int kRank = 6;
  auto p = Normal(5, kRows * kRank);
  // Nearly dependent columns are where Gram-Schmidt without care fails.
  for (int64_t i = 0; i < kRows; ++i) p[kRows + i] = p[i] + 1e-4f * p[kRows + i];
  EXPECT_EQ(Orthonormalize(kRows, kRank, p.data()), kRank);
  for (int a = 0; a < kRank; ++a) {
    for (int b = 0; b <= a; ++b) {
      EXPECT_NEAR(DotOf(&p[a * kRows], &p[b * kRows], kRows), a == b ? 1 : 0, 1e-6) << a << " " << b;
    }
  }
}

TEST(LowRank, ColumnsOfZeroAndCopiesBecomeZero) {
  constexpr int64_t kRows = 20;
  auto p = Normal(6, kRows * 4);
  for (int64_t i = 0; i < kRows; ++i) {
    p[kRows + i] = 0;
    p[2 * kRows + i] = 2 * p[i];  // exactly dependent
  }
  EXPECT_EQ(Orthonormalize(kRows, 4, p.data()), 2);
  EXPECT_EQ(DotOf(&p[kRows], &p[kRows], kRows), 0);
  EXPECT_EQ(DotOf(&p[2 * kRows], &p[2 * kRows], kRows), 0);
  EXPECT_NEAR(DotOf(&p[3 * kRows], &p[3 * kRows], kRows), 1, 1e-6);
}

TEST(LowRank, LengthsOfAnySize) {
  for (const float scale : {1e-30f, 1.0f, 1e30f}) {
    std::vector<float> column = {3 * scale, 0, 4 * scale};
    EXPECT_TRUE(Normalize(3, column.data()));
    EXPECT_NEAR(column[0], 0.6, 1e-6);
    EXPECT_NEAR(column[2], 0.8, 1e-6);
  }
  std::vector<float> zero(3), infinite = {1, INFINITY, 0};
  EXPECT_FALSE(Normalize(3, zero.data()));
  EXPECT_FALSE(Normalize(3, infinite.data()));
  EXPECT_EQ(infinite[0], 1);
}

}  // namespace
}  // namespace lockstep::train
