#include "runtime/data/record_filter.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "absl/strings/str_cat.h"
#include "runtime/data/example_wire.h"
#include "runtime/data/feature_values.h"
#include "runtime/data/run_on_threads.h"

namespace lockstep::data {
namespace {

template <typename Number>
bool InRange(const RecordCondition& condition, const std::vector<Number>& numbers) {
  return std::all_of(numbers.begin(), numbers.end(), [&](Number number) {
    const auto value = static_cast<double>(number);  // a NaN is in no range
    return (!condition.least || value >= *condition.least) && (!condition.most || value <= *condition.most);
  });
}

bool Holds(const RecordCondition& condition, const FeatureValues& values) {
  const auto count = static_cast<int64_t>(values.count);
  if (count < condition.least_count || (condition.most_count && count > *condition.most_count)) return false;
  if (condition.least || condition.most) {
    if (values.floats.empty() && values.integers.empty()) return false;
    if (!InRange(condition, values.floats) || !InRange(condition, values.integers)) return false;
  }
  if (condition.values.empty()) return true;
  if (values.strings.size() + values.integers.size() != 1) return false;
  const std::string value =
      values.strings.empty() ? absl::StrCat(values.integers[0]) : std::string(values.strings[0]);
  return std::find(condition.values.begin(), condition.values.end(), value) != condition.values.end();
}

}  // namespace

RecordFilter::RecordFilter(std::vector<RecordCondition> conditions) : conditions_(std::move(conditions)) {
  for (const RecordCondition& condition : conditions_) {
    const auto at = std::find_if(wanted_.begin(), wanted_.end(),
                                 [&](const FeatureSpec& spec) { return spec.name == condition.feature; });
    feature_of_.push_back(static_cast<size_t>(at - wanted_.begin()));
    if (at == wanted_.end()) wanted_.push_back({.name = condition.feature, .type = {}});
  }
}

absl::StatusOr<bool> RecordFilter::Takes(absl::string_view record) const {
  Entries entries;
  if (!FindEntries(record, kFeaturesField, wanted_, &entries)) return NotOfKind("tf.train.Example");
  FeatureValues values;
  for (size_t i = 0; i < conditions_.size(); ++i) {
    values.Clear();
    if (!values.ReadEntry(entries[feature_of_[i]])) return NotOfKind("tf.train.Example");
    if (!Holds(conditions_[i], values)) return false;
  }
  return true;
}

absl::StatusOr<KeptRecords> KeptRecords::Choose(int64_t size, int threads,
                                                const std::function<absl::StatusOr<bool>(int64_t)>& keep) {
  const int64_t chunks = (size + kChunk - 1) / kChunk;
  KeptRecords kept;
  kept.bits_.resize(static_cast<size_t>(chunks * kWords));
  kept.before_.resize(static_cast<size_t>(chunks) + 1);
  RETURN_IF_ERROR(RunOnThreads(threads, chunks, [&](int64_t chunk) {
    int64_t count = 0;
    for (int64_t i = chunk * kChunk; i < std::min(size, (chunk + 1) * kChunk); ++i) {
      ASSIGN_OR_RETURN(const bool is_kept, keep(i));
      if (!is_kept) continue;
      kept.bits_[static_cast<size_t>(i / 64)] |= uint64_t{1} << (i % 64);
      ++count;
    }
    kept.before_[static_cast<size_t>(chunk) + 1] = count;
    return absl::OkStatus();
  }));
  for (size_t i = 1; i < kept.before_.size(); ++i) kept.before_[i] += kept.before_[i - 1];
  return kept;
}

int64_t KeptRecords::At(int64_t index) const {
  const auto after = std::upper_bound(before_.begin(), before_.end(), index);
  const int64_t chunk = after - before_.begin() - 1;
  int64_t left = index - before_[static_cast<size_t>(chunk)];
  for (int64_t word = chunk * kWords;; ++word) {
    uint64_t bits = bits_[static_cast<size_t>(word)];
    const int count = std::popcount(bits);
    if (left >= count) {
      left -= count;
      continue;
    }
    for (; left > 0; --left) bits &= bits - 1;
    return word * 64 + std::countr_zero(bits);
  }
}

}  // namespace lockstep::data
