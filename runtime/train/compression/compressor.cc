#include "runtime/train/compression/compressor.h"

#include <limits>

#include "runtime/train/compression/power_sgd.h"
#include "runtime/train/compression/top_k.h"

namespace lockstep::train {

void Compressor::SpoilGradient(float* gradient) const {
  if (parts_.matrices.empty()) return;  // then all of it came whole, and shows by itself
  gradient[parts_.matrices.front().offset] = std::numeric_limits<float>::quiet_NaN();
}

absl::StatusOr<std::unique_ptr<Compressor>> MakeCompressor(const CompressionConfig& config,
                                                           const graph::ParameterLayout& layout,
                                                           int64_t tail_elements, uint64_t seed,
                                                           comm::Communicator& communicator) {
  switch (config.method_case()) {
    case CompressionConfig::kPowerSgd:
      return PowerSgd::Create(layout, tail_elements, config.power_sgd().rank(), seed, communicator);
    case CompressionConfig::kTopK:
      return TopK::Create(layout, tail_elements, config.top_k().ratio(), communicator);
    case CompressionConfig::kWire:
    case CompressionConfig::METHOD_NOT_SET:
      return nullptr;
  }
  return nullptr;
}

comm::Wire WireOf(const CompressionConfig& config) {
  if (!config.has_wire()) return comm::Wire::kFull;
  return config.wire() == BF16   ? comm::Wire::kBF16
         : config.wire() == FP16 ? comm::Wire::kF16
                                 : comm::Wire::kFull;
}

}  // namespace lockstep::train
