#include "runtime/train/compression/power_sgd.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "kernels/optimizer.h"
#include "runtime/core/rng.h"

namespace lockstep::train {
namespace {

constexpr int64_t kBlockElements = 32768;  // of a matrix, in a piece of work over rows
constexpr int64_t kBlockColumns = 256;     // in a piece of work over columns

int RankFor(int rank, int64_t rows, int64_t columns) {
  return static_cast<int>(std::min<int64_t>({rank, rows, columns}));
}

}  // namespace

absl::StatusOr<std::unique_ptr<PowerSgd>> PowerSgd::Create(const graph::ParameterLayout& layout,
                                                           int64_t tail_elements, int rank, uint64_t seed,
                                                           comm::Communicator& communicator) {
  auto smaller = [rank](int64_t rows, int64_t columns) {
    return (rows + columns) * RankFor(rank, rows, columns) < rows * columns;
  };
  auto made =
      std::unique_ptr<PowerSgd>(new PowerSgd(SplitGradient(layout, tail_elements, smaller), rank, seed));
  const int64_t first = made->p_elements_ + made->parts_.whole_elements;
  ASSIGN_OR_RETURN(made->exchange_, communicator.AllocatePeerBuffer(first * sizeof(float)));
  ASSIGN_OR_RETURN(made->q_own_, communicator.AllocatePeerBuffer(made->q_elements_ * sizeof(float)));
  ASSIGN_OR_RETURN(made->q_sum_, communicator.AllocatePeerBuffer(made->q_elements_ * sizeof(float)));
  return made;
}

PowerSgd::PowerSgd(GradientParts parts, int rank, uint64_t seed)
    : Compressor(std::move(parts)), rank_(rank), seed_(seed) {
  for (const GradientMatrix& matrix : parts_.matrices) {
    const int own_rank = RankFor(rank, matrix.rows, matrix.columns);
    factors_.push_back({{matrix.rows, matrix.columns, own_rank}, p_elements_, q_elements_});
    p_elements_ += matrix.rows * own_rank;
    q_elements_ += matrix.columns * own_rank;
  }
  PlanBlocks();
  q_start_ = AlignedBuffer<float>(static_cast<size_t>(q_elements_));
  for (size_t i = 0; i < factors_.size(); ++i) {
    for (int k = 0; k < factors_[i].shape.rank; ++k) StartColumn(i, k);
  }
}

void PowerSgd::PlanBlocks() {
  const auto cut = [](size_t matrix, int64_t count, int64_t block, std::vector<Block>* out) {
    for (int64_t begin = 0; begin < count; begin += block) {
      out->push_back({matrix, begin, std::min(count, begin + block)});
    }
  };
  for (size_t i = 0; i < factors_.size(); ++i) {
    const MatrixShape& shape = factors_[i].shape;
    cut(i, shape.rows, std::max<int64_t>(1, kBlockElements / shape.columns), &row_blocks_);
    cut(i, shape.columns, kBlockColumns, &column_blocks_);
  }
}

void PowerSgd::StartColumn(size_t matrix, int column) {
  const auto columns = static_cast<size_t>(factors_[matrix].shape.columns);
  float* const q = start_of(matrix) + column * columns;
  const uint64_t key =
      DeriveKey(seed_, absl::StrCat("power_sgd/", parts_.matrices[matrix].name, "/", column));
  FillNormal(key, 0, 1, absl::MakeSpan(q, columns));
  (void)Normalize(static_cast<int64_t>(columns), q);
}

absl::Status PowerSgd::Reduce(comm::Communicator& communicator, LaneTeam& team, float* gradient) {
  ForEachItem(team, row_blocks_.size(), [&](size_t i) { Project(row_blocks_[i], gradient); });
  CopyWhole(parts_, gradient, whole());
  const comm::Buffer first = comm::BufferOf(exchange_.as<float>());
  RETURN_IF_ERROR(communicator.AllReduce(first, first, comm::ReduceOp::kSum));
  RestoreWhole(parts_, whole(), gradient);
  // A NaN or infinity of any rank has come through to all of them, except to the tail, which is none of ours.
  const size_t gradients = p_elements_ + parts_.whole_elements - parts_.tail_elements;
  if (kernels::FindNonFinite(exchange_.as<float>().first(gradients)) >= 0) {
    SpoilGradient(gradient);
    return absl::OkStatus();
  }

  ForEachItem(team, factors_.size(), [&](size_t i) {
    (void)Orthonormalize(factors_[i].shape.rows, factors_[i].shape.rank, p_of(i));
  });
  ForEachItem(team, column_blocks_.size(), [&](size_t i) {
    const Block& block = column_blocks_[i];
    MultiplyColumns(factors_[block.matrix].shape, gradient + parts_.matrices[block.matrix].offset,
                    p_of(block.matrix), block.begin, block.end, own_of(block.matrix));
  });
  RETURN_IF_ERROR(communicator.AllReduce(comm::BufferOf(q_own_.as<float>()),
                                         comm::BufferOf(q_sum_.as<float>()), comm::ReduceOp::kSum));
  if (kernels::FindNonFinite(q_sum_.as<float>()) >= 0) {
    SpoilGradient(gradient);
    return absl::OkStatus();
  }
  ForEachItem(team, row_blocks_.size(), [&](size_t i) { Expand(row_blocks_[i], gradient); });
  ForEachItem(team, factors_.size(), [&](size_t i) { KeepColumns(i); });
  return absl::OkStatus();
}

// M = g + e, in the gradient's place, and P = M Q.
void PowerSgd::Project(const Block& block, float* gradient) const {
  const GradientMatrix& matrix = parts_.matrices[block.matrix];
  float* const m = gradient + matrix.offset;
  const int64_t begin = block.begin * matrix.columns, size = (block.end - block.begin) * matrix.columns;
  kernels::AddInto(absl::MakeConstSpan(memory_of(matrix) + begin, size), absl::MakeSpan(m + begin, size));
  MultiplyRows(factors_[block.matrix].shape, m, start_of(block.matrix), block.begin, block.end,
               p_of(block.matrix));
}

// e = M - P Q_w^T and the gradient P Q^T.
void PowerSgd::Expand(const Block& block, float* gradient) const {
  const GradientMatrix& matrix = parts_.matrices[block.matrix];
  const MatrixShape& shape = factors_[block.matrix].shape;
  for (int64_t row = block.begin; row < block.end; ++row) {
    float* const m = gradient + matrix.offset + row * matrix.columns;
    float* const memory = memory_of(matrix) + row * matrix.columns;
    ExpandRow(shape, p_of(block.matrix), own_of(block.matrix), row, memory);
    for (int64_t i = 0; i < matrix.columns; ++i) memory[i] = m[i] - memory[i];
    ExpandRow(shape, p_of(block.matrix), sum_of(block.matrix), row, m);
  }
}

void PowerSgd::KeepColumns(size_t matrix) {
  const MatrixShape& shape = factors_[matrix].shape;
  std::copy_n(sum_of(matrix), shape.columns * shape.rank, start_of(matrix));
  for (int k = 0; k < shape.rank; ++k) {
    if (!Normalize(shape.columns, start_of(matrix) + k * shape.columns)) StartColumn(matrix, k);
  }
}

std::string PowerSgd::Describe() const {
  const int64_t before = parts_.matrix_elements + parts_.whole_elements;
  const int64_t after = p_elements_ + q_elements_ + parts_.whole_elements;
  return absl::StrFormat(
      "PowerSGD of rank %d: %d matrices as thin factors, %d other ranges whole; %d numbers a step in place "
      "of "
      "%d (%.1fx fewer)",
      rank_, factors_.size(), parts_.whole.size(), after, before,
      static_cast<double>(before) / static_cast<double>(std::max<int64_t>(1, after)));
}

std::vector<NamedBuffer> PowerSgd::SharedState() const {
  std::vector<NamedBuffer> state;
  for (size_t i = 0; i < factors_.size(); ++i) {
    const MatrixShape& shape = factors_[i].shape;
    state.push_back({absl::StrCat("q.", parts_.matrices[i].name), DType::kF32,
                     Shape({shape.rank, shape.columns}), start_of(i)});
  }
  return state;
}

}  // namespace lockstep::train
