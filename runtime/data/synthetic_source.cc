// Samples that are made up: fixed random tensors.
#include <utility>

#include "runtime/core/rng.h"
#include "runtime/data/sources.h"

namespace lockstep::data {
namespace {

template <typename T>
void FillBelow(uint64_t key, int64_t below, absl::Span<T> out) {
  for (size_t i = 0; i < out.size(); i += 2) {
    const auto bits = Philox(key, i / 2, 2);
    for (size_t j = 0; j < 2 && i + j < out.size(); ++j) {
      const uint64_t word = bits[2 * j] | static_cast<uint64_t>(bits[2 * j + 1]) << 32;
      out[i + j] =
          static_cast<T>((static_cast<unsigned __int128>(word) * static_cast<uint64_t>(below)) >> 64);
    }
  }
}

class SyntheticSource final : public SampleSource {
 public:
  SyntheticSource(uint64_t seed, int64_t samples, std::vector<SyntheticInput> made)
      : key_(DeriveKey(seed, "data/synthetic")), samples_(samples), made_(std::move(made)) {
    for (const SyntheticInput& input : made_) inputs_.push_back(input.spec);
    fingerprint_ = absl::StrCat("synthetic-", absl::Hex(key_, absl::kZeroPad16));
  }

  int64_t size() const override { return samples_; }
  const std::vector<InputSpec>& inputs() const override { return inputs_; }
  const std::string& fingerprint() const override { return fingerprint_; }
  std::string Describe(int64_t sample) const override { return absl::StrCat("synthetic sample ", sample); }
  bool repeats_first_step() const override { return true; }

  absl::Status Decode(int64_t sample, absl::Span<std::byte* const> outputs) const override {
    for (size_t i = 0; i < made_.size(); ++i) {
      const uint64_t key = Mix64(Mix64(key_ ^ i) ^ static_cast<uint64_t>(sample));
      const TensorType& type = made_[i].spec.type;
      const size_t count = static_cast<size_t>(type.shape.NumElements());
      switch (type.dtype) {
        case DType::kF32:
          FillNormal(key, 0, 1, absl::MakeSpan(reinterpret_cast<float*>(outputs[i]), count));
          break;
        case DType::kI32:
          FillBelow(key, made_[i].below, absl::MakeSpan(reinterpret_cast<int32_t*>(outputs[i]), count));
          break;
        default:
          FillBelow(key, made_[i].below, absl::MakeSpan(reinterpret_cast<int64_t*>(outputs[i]), count));
      }
    }
    return absl::OkStatus();
  }

 private:
  const uint64_t key_;
  const int64_t samples_;
  const std::vector<SyntheticInput> made_;
  std::vector<InputSpec> inputs_;
  std::string fingerprint_;
};

}  // namespace

absl::StatusOr<std::shared_ptr<const SampleSource>> MakeSyntheticSource(uint64_t seed, int64_t samples,
                                                                        std::vector<SyntheticInput> inputs) {
  if (samples < 1) return ConfigError(absl::StrCat("synthetic data needs at least 1 record, not ", samples));
  for (const SyntheticInput& input : inputs) {
    const DType dtype = input.spec.type.dtype;
    const bool integers = dtype == DType::kI32 || dtype == DType::kI64;
    if (!integers && dtype != DType::kF32) {
      return ConfigError(absl::StrCat("synthetic input '", input.spec.name, "' cannot be ", NameOf(dtype)));
    }
    if (integers && (input.below < 1 || input.below > (int64_t{1} << 31))) {
      return ConfigError(absl::StrCat("synthetic input '", input.spec.name,
                                      "' needs a bound in [1, 2^31], not ", input.below));
    }
  }
  return std::make_shared<const SyntheticSource>(seed, samples, std::move(inputs));
}

}  // namespace lockstep::data
