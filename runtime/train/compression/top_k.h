// Top-k: of every matrix each rank sends its k largest elements by magnitude, as values and indices, and
// keeps the rest for later (error feedback, compressor.h).
//
// A. F. Aji, K. Heafield: "Sparse Communication for Distributed Gradient Descent", EMNLP 2017,
// arXiv:1704.05021; with memory and its convergence: S. U. Stich, J.-B. Cordonnier, M. Jaggi, "Sparsified SGD
// with Memory", NeurIPS 2018, arXiv:1809.07599. For a tensor of n elements k = ceil(ratio n):
//   S_w = the k largest of M_w = g_w + e_w (of equal ones the first);   result = sum over w of M_w on S_w,
//   added in the order of ranks;   e_w = M_w off S_w, 0 on S_w
// One all-gather of 2k numbers a rank for all tensors, and one all-reduce of what travels whole.
#ifndef LOCKSTEP_RUNTIME_TRAIN_COMPRESSION_TOP_K_H_
#define LOCKSTEP_RUNTIME_TRAIN_COMPRESSION_TOP_K_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "runtime/train/compression/compressor.h"

namespace lockstep::train {

class TopK final : public Compressor {
 public:
  // `ratio` in (0, 1]. Error: ConfigError for a tensor of 2^32 elements or more.
  static absl::StatusOr<std::unique_ptr<TopK>> Create(const graph::ParameterLayout& layout,
                                                      int64_t tail_elements, double ratio,
                                                      comm::Communicator& communicator);

  absl::Status Reduce(comm::Communicator& communicator, LaneTeam& team, float* gradient) override;
  std::string Describe() const override;

 private:
  // Elements begin .. end-1 of a rank's values, and of its indices: those of one matrix.
  struct Picks {
    int64_t begin = 0, end = 0;
    int64_t size() const { return end - begin; }
  };

  TopK(GradientParts parts, double ratio, int world_size);
  void Pick(size_t matrix, float* gradient);
  absl::Status CheckGathered() const;
  bool GatheredFinite() const;
  void Spread(size_t matrix, int own_rank, float* gradient) const;

  // A rank's message: `picked_` values, then as many indices into their matrices.
  absl::Span<const float> values_of(int rank) const {
    return gathered_.as<float>().subspan(2 * picked_ * rank, picked_);
  }
  absl::Span<const uint32_t> indices_of(int rank) const {
    return gathered_.as<uint32_t>().subspan(2 * picked_ * rank + picked_, picked_);
  }

  const double ratio_;
  const int world_size_;
  std::vector<Picks> picks_;  // by matrix of parts_
  int64_t picked_ = 0;        // elements of all matrices that a rank sends
  comm::PeerBuffer sent_, gathered_, whole_;
};

}  // namespace lockstep::train

#endif  // LOCKSTEP_RUNTIME_TRAIN_COMPRESSION_TOP_K_H_
