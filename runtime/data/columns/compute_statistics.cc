#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "runtime/data/check_example.h"
#include "runtime/data/columns/statistics.h"
#include "runtime/data/example_wire.h"
#include "runtime/data/feature_values.h"

namespace lockstep::data {
namespace {

// Mean and deviation as they come (Welford, Technometrics 4 (1962)).
struct Moments {
  int64_t count = 0;
  double mean = 0, squares = 0;  // squares: sum of (x - mean)^2
  double min = std::numeric_limits<double>::infinity(), max = -std::numeric_limits<double>::infinity();
  void Add(double x) {
    ++count;
    const double delta = x - mean;
    mean += delta / static_cast<double>(count);
    squares += delta * (x - mean);
    min = std::min(min, x);
    max = std::max(max, x);
  }
  double Std() const { return count > 0 ? std::sqrt(squares / static_cast<double>(count)) : 0; }
};

class NumberCollector {
 public:
  explicit NumberCollector(bool samples = true) : most_samples_(samples ? kMostSamples : 0) {}

  void Add(double x) {
    if (!std::isfinite(x)) {
      ++not_finite_;
      return;
    }
    moments_.Add(x);
    if (x > -1) logs_.Add(std::log1p(x));
    if (most_samples_ == 0 || (moments_.count - 1) % stride_ != 0) return;
    if (static_cast<int64_t>(samples_.size()) == most_samples_) {
      for (size_t i = 0; i < samples_.size() / 2; ++i) samples_[i] = samples_[2 * i];
      samples_.resize(samples_.size() / 2);
      stride_ *= 2;
      if ((moments_.count - 1) % stride_ != 0) return;
    }
    samples_.push_back(x);
  }

  NumberStatistics Finish() {
    NumberStatistics n;
    n.count = moments_.count;
    n.not_finite = not_finite_;
    if (n.count == 0) return n;
    n.mean = moments_.mean;
    n.std = moments_.Std();
    n.min = moments_.min;
    n.max = moments_.max;
    if (logs_.count == n.count) {
      n.log_mean = logs_.mean;
      n.log_std = logs_.Std();
      n.log_min = logs_.min;
      n.log_max = logs_.max;
    }
    if (!samples_.empty()) AddQuantiles(&n);
    return n;
  }

 private:
  void AddQuantiles(NumberStatistics* n) {
    std::sort(samples_.begin(), samples_.end());
    const auto size = static_cast<int64_t>(samples_.size());
    for (int64_t percent = 0; percent <= 100; ++percent) {
      n->quantiles.push_back(
          samples_[static_cast<size_t>(std::max<int64_t>(0, (percent * size + 99) / 100 - 1))]);
    }
    n->quantiles.front() = n->min;
    n->quantiles.back() = n->max;
    n->histogram.resize(kHistogramBins);
    for (const double x : samples_) {
      const double part = n->max > n->min ? (x - n->min) / (n->max - n->min) : 0;
      ++n->histogram[static_cast<size_t>(std::clamp(part * kHistogramBins, 0.0, kHistogramBins - 1.0))];
    }
  }

  int64_t most_samples_;
  Moments moments_, logs_;
  int64_t not_finite_ = 0, stride_ = 1;
  std::vector<double> samples_;
};

// One feature of one type.
class FeatureCollector {
 public:
  void Add(const FeatureValues& values) {
    const auto length = static_cast<int64_t>(values.count);
    min_length_ = records_ == 0 ? length : std::min(min_length_, length);
    max_length_ = std::max(max_length_, length);
    ++records_;
    elements_ += length;
    for (size_t i = 0; i < values.floats.size(); ++i) AddNumber(i, values.floats[i]);
    for (size_t i = 0; i < values.integers.size(); ++i) {
      AddNumber(i, static_cast<double>(values.integers[i]));
      if (all_values_) AddValue(absl::StrCat(values.integers[i]));
    }
    for (const absl::string_view string : values.strings) AddString(string);
  }

  FeatureStatistics Finish(FeatureKind kind) {
    FeatureStatistics f;
    f.type = kind == FeatureKind::kBytes   ? "bytes"
             : kind == FeatureKind::kFloat ? "float"
             : kind == FeatureKind::kInt64 ? "int64"
                                           : "none";
    f.records = records_;
    f.elements = elements_;
    f.min_length = min_length_;
    f.max_length = max_length_;
    f.min_string_bytes = elements_ > 0 ? min_string_ : 0;
    f.max_string_bytes = max_string_;
    const bool each = min_length_ == max_length_ && max_length_ <= kMostPlaces;
    if (kind == FeatureKind::kFloat || kind == FeatureKind::kInt64) {
      if (each) {
        for (NumberCollector& place : places_) f.numbers.push_back(place.Finish());
      } else if (elements_ > 0) {
        f.numbers.push_back(all_.Finish());
      }
    }
    if (kind == FeatureKind::kBytes) {
      NumberStatistics& n = f.numbers.emplace_back(bytes_.Finish());
      n.log_mean = n.log_std = n.log_min = n.log_max = 0;  // nobody asks
    }
    f.all_values = all_values_ && (kind == FeatureKind::kBytes || kind == FeatureKind::kInt64);
    if (!f.all_values) return f;
    for (auto& [value, count] : counts_) f.values.push_back({value, count});
    std::sort(f.values.begin(), f.values.end(), [](const ValueCount& a, const ValueCount& b) {
      return a.count != b.count ? a.count > b.count : a.value < b.value;
    });
    return f;
  }

 private:
  void AddNumber(size_t place, double x) {
    all_.Add(x);
    if (place >= static_cast<size_t>(kMostPlaces)) return;
    while (place >= places_.size())
      places_.emplace_back(static_cast<int64_t>(places_.size()) < kMostQuantilePlaces);
    places_[place].Add(x);
  }

  void AddString(absl::string_view string) {
    const auto size = static_cast<int64_t>(string.size());
    min_string_ = std::min(min_string_, size);
    max_string_ = std::max(max_string_, size);
    for (const char c : string) bytes_.Add(static_cast<uint8_t>(c));
    if (!all_values_) return;
    if (size > kMostValueBytes || !IsText(string)) return DropValues();
    AddValue(std::string(string));
  }

  void AddValue(const std::string& value) {
    ++counts_[value];
    if (static_cast<int64_t>(counts_.size()) > kMostValues) DropValues();
  }
  void DropValues() {
    all_values_ = false;
    counts_ = {};
  }

  int64_t records_ = 0, elements_ = 0, min_length_ = 0, max_length_ = 0;
  int64_t min_string_ = std::numeric_limits<int64_t>::max(), max_string_ = 0;
  NumberCollector all_, bytes_{false};
  std::vector<NumberCollector> places_;
  bool all_values_ = true;
  absl::flat_hash_map<std::string, int64_t> counts_;
};

// By (name, kind).
using Collectors = std::map<std::pair<std::string, FeatureKind>, FeatureCollector>;

constexpr size_t kMostFeatures = 100'000;  // a file whose records have all different ones is not a table

absl::Status AddMap(absl::string_view record, uint32_t map, bool of_lists, Collectors* collectors) {
  // The last entry of a name counts.
  std::map<absl::string_view, absl::string_view> entries;
  ForEachEntry(record, map, [&](absl::string_view entry) {
    absl::string_view key;
    KeyOf(entry, &key);
    entries[key] = entry;
    return true;
  });
  FeatureValues values;
  const auto add = [&](absl::string_view key) { (*collectors)[{std::string(key), values.kind}].Add(values); };
  for (const auto& [key, entry] : entries) {
    if (!of_lists) {
      values.Clear();
      values.ReadEntry(entry);
      add(key);
      continue;
    }
    ForEachField(entry, kEntryDepth, 2, [&, name = key](absl::string_view list) {
      return ForEachField(list, kValueDepth, 1, [&](absl::string_view feature) {
        values.Clear();
        values.ReadFeature(feature, kValueDepth + 1);
        add(name);
        return true;
      });
    });
  }
  if (collectors->size() <= kMostFeatures) return absl::OkStatus();
  return DataError(absl::StrCat("the records have more than ", kMostFeatures, " different features"));
}

std::map<std::string, std::vector<FeatureStatistics>> Finish(Collectors* collectors) {
  std::map<std::string, std::vector<FeatureStatistics>> features;
  for (auto& [key, collector] : *collectors) features[key.first].push_back(collector.Finish(key.second));
  return features;
}

}  // namespace

std::vector<FileFact> FactsOf(const Dataset& dataset) {
  std::vector<FileFact> facts;
  for (const auto& file : dataset.files()) {
    const std::string& path = file->path();
    facts.push_back({path.substr(path.rfind('/') + 1), file->records(), file->index().content_hash()});
  }
  return facts;
}

absl::StatusOr<Statistics> ComputeStatistics(const Dataset& dataset) {
  Statistics s;
  s.fingerprint = dataset.fingerprint();
  s.records = dataset.size();
  s.files = FactsOf(dataset);
  Collectors features, lists;
  s.min_record_bytes = std::numeric_limits<int64_t>::max();
  DatasetPass pass(&dataset, 0, dataset.size());
  for (int64_t id = 0; id < dataset.size(); ++id) {
    ASSIGN_OR_RETURN(const RecordView record, pass.Record(id));
    s.min_record_bytes = std::min(s.min_record_bytes, static_cast<int64_t>(record.size()));
    s.max_record_bytes = std::max(s.max_record_bytes, static_cast<int64_t>(record.size()));
    const bool sequence = CheckSequenceExample(record);
    if (!sequence && !CheckExample(record)) {
      ++s.other_records;
      continue;
    }
    absl::Status added = AddMap(record, kFeaturesField, false, &features);
    if (added.ok() && sequence) added = AddMap(record, kFeatureListsField, true, &lists);
    if (!added.ok()) return Annotate(added, dataset.Place(id));
  }
  s.features = Finish(&features);
  s.lists = Finish(&lists);
  return s;
}

}  // namespace lockstep::data
