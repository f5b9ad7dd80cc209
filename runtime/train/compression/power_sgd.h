// PowerSGD: gradients as products of two thin matrices, by one step of power iteration that starts from the
// last step's result, with error feedback (compressor.h).
//
// T. Vogels, S. P. Karimireddy, M. Jaggi: "PowerSGD: Practical Low-Rank Gradient Compression for Distributed
// Optimization", NeurIPS 2019, arXiv:1905.13727, algorithms 1 and 2. For a matrix M_w = g_w + e_w [n x m] of
// rank w of the world and Q [m x r] of the step before, equal on all ranks:
//   P = sum over w of M_w Q             (an all-reduce of n r numbers)
//   P = orthonormal columns of P
//   Q_w = M_w^T P                       (so P Q_w^T is the projection of M_w on P's columns)
//   Q = sum over w of Q_w               (an all-reduce of m r numbers)
//   result = P Q^T;   e_w = M_w - P Q_w^T
// The paper's averages are sums here, as our gradients are sums; P is orthonormal, so its scale is nothing.
// Q's columns are scaled to length 1 before they serve the next step (a product of many gradients' sizes
// would leave the range of fp32), and a column that came out as zero (a matrix of lower rank, a gradient of
// zeros) starts again from its random beginning. A matrix is compressed where (n + m) r < n m; r is at most
// the smaller of n and m. All matrices share the two all-reduces, and what is not compressed travels with
// the first.
#ifndef LOCKSTEP_RUNTIME_TRAIN_COMPRESSION_POWER_SGD_H_
#define LOCKSTEP_RUNTIME_TRAIN_COMPRESSION_POWER_SGD_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "runtime/train/compression/compressor.h"
#include "runtime/train/compression/low_rank.h"

namespace lockstep::train {

class PowerSgd final : public Compressor {
 public:
  // `rank` >= 1. `seed` decides Q's beginning, the same on every rank.
  static absl::StatusOr<std::unique_ptr<PowerSgd>> Create(const graph::ParameterLayout& layout,
                                                          int64_t tail_elements, int rank, uint64_t seed,
                                                          comm::Communicator& communicator);

  absl::Status Reduce(comm::Communicator& communicator, LaneTeam& team, float* gradient) override;
  std::string Describe() const override;
  // "q.<parameter>" [rank, columns] for each compressed parameter: where the next step starts from.
  std::vector<NamedBuffer> SharedState() const override;

 private:
  // One matrix and where its factors lie in the buffers of all.
  struct Factors {
    MatrixShape shape;
    int64_t p = 0, q = 0;  // elements
  };
  // Rows or columns begin .. end-1 of matrix number `matrix`: a piece of work.
  struct Block {
    size_t matrix = 0;
    int64_t begin = 0, end = 0;
  };

  PowerSgd(GradientParts parts, int rank, uint64_t seed);
  void PlanBlocks();
  void StartColumn(size_t matrix, int column);
  void Project(const Block& block, float* gradient) const;
  void Expand(const Block& block, float* gradient) const;
  void KeepColumns(size_t matrix);

  float* p_of(size_t matrix) const { return exchange_.as<float>().data() + factors_[matrix].p; }
  float* whole() const { return exchange_.as<float>().data() + p_elements_; }
  const float* sum_of(size_t matrix) const { return q_sum_.as<float>().data() + factors_[matrix].q; }
  float* own_of(size_t matrix) const { return q_own_.as<float>().data() + factors_[matrix].q; }
  float* start_of(size_t matrix) const { return q_start_.data() + factors_[matrix].q; }

  const int rank_;
  const uint64_t seed_;
  std::vector<Factors> factors_;  // by matrix of parts_
  std::vector<Block> row_blocks_, column_blocks_;
  int64_t p_elements_ = 0, q_elements_ = 0;
  AlignedBuffer<float> q_start_;    // Q of the step before, columns of length 1
  comm::PeerBuffer exchange_;       // P of all matrices, then what travels whole
  comm::PeerBuffer q_own_, q_sum_;  // Q_w and Q of all matrices
};

}  // namespace lockstep::train

#endif  // LOCKSTEP_RUNTIME_TRAIN_COMPRESSION_POWER_SGD_H_
