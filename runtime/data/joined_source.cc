// Several sources of samples as one.
#include <algorithm>
#include <utility>

#include "runtime/core/hash.h"
#include "runtime/data/sources.h"

namespace lockstep::data {
namespace {

class JoinedSource final : public SampleSource {
 public:
  explicit JoinedSource(std::vector<std::shared_ptr<const SampleSource>> parts) : parts_(std::move(parts)) {
    Sha256 hash;
    for (const auto& part : parts_) {
      hash.Update(part->fingerprint());
      first_ids_.push_back(size() + part->size());
    }
    fingerprint_ = hash.Hex();
  }

  int64_t size() const override { return first_ids_.back(); }
  const std::vector<InputSpec>& inputs() const override { return parts_[0]->inputs(); }
  const std::string& fingerprint() const override { return fingerprint_; }
  std::string Describe(int64_t sample) const override {
    const Place at = PlaceOf(sample);
    return at.source.Describe(at.sample);
  }
  void Prefetch(int64_t sample) const override {
    const Place at = PlaceOf(sample);
    at.source.Prefetch(at.sample);
  }
  // By parts, each in the order of need.
  std::shared_ptr<const void> Announce(absl::Span<const int64_t> samples) const override {
    std::vector<std::vector<int64_t>> of_parts(parts_.size());
    for (const int64_t sample : samples) {
      const auto after = std::upper_bound(first_ids_.begin(), first_ids_.end(), sample);
      const auto part = static_cast<size_t>(after - first_ids_.begin()) - 1;
      of_parts[part].push_back(sample - first_ids_[part]);
    }
    auto tickets = std::make_shared<std::vector<std::shared_ptr<const void>>>();
    for (size_t part = 0; part < parts_.size(); ++part) {
      auto ticket = parts_[part]->Announce(of_parts[part]);
      if (ticket != nullptr) tickets->push_back(std::move(ticket));
    }
    return tickets->empty() ? nullptr : tickets;
  }
  absl::Status Decode(int64_t sample, absl::Span<std::byte* const> outputs) const override {
    const Place at = PlaceOf(sample);
    return at.source.Decode(at.sample, outputs);
  }
  absl::Status DecodeAt(int64_t sample, int64_t position,
                        absl::Span<std::byte* const> outputs) const override {
    const Place at = PlaceOf(sample);
    return at.source.DecodeAt(at.sample, position, outputs);
  }

  // Samples of all parts are mixed with each other, as one part would do it.
  void MixBatch(absl::Span<const int64_t> positions, absl::Span<const float> weights,
                absl::Span<std::byte* const> inputs) const override {
    parts_[0]->MixBatch(positions, weights, inputs);
  }

 private:
  struct Place {
    const SampleSource& source;
    int64_t sample;
  };
  Place PlaceOf(int64_t sample) const {
    const auto after = std::upper_bound(first_ids_.begin(), first_ids_.end(), sample);
    const auto part = static_cast<size_t>(after - first_ids_.begin()) - 1;
    return {*parts_[part], sample - first_ids_[part]};
  }

  const std::vector<std::shared_ptr<const SampleSource>> parts_;
  std::vector<int64_t> first_ids_ = {0};  // of each part, and the end
  std::string fingerprint_;
};

bool SameInputs(const std::vector<InputSpec>& a, const std::vector<InputSpec>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const InputSpec& x, const InputSpec& y) {
    return x.name == y.name && x.type == y.type;
  });
}

}  // namespace

absl::StatusOr<std::shared_ptr<const SampleSource>> MakeJoinedSource(
    std::vector<std::shared_ptr<const SampleSource>> parts) {
  if (parts.empty()) return ConfigError("a mixture needs at least one set of records");
  for (const auto& part : parts) {
    if (!SameInputs(parts[0]->inputs(), part->inputs())) {
      return ConfigError(absl::StrCat("the parts of a mixture have different inputs: those of ",
                                      parts[0]->Describe(0), " are not those of ", part->Describe(0)));
    }
  }
  return std::make_shared<const JoinedSource>(std::move(parts));
}

}  // namespace lockstep::data
