// Statistics over all records, for people and as a file.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "runtime/data/columns/statistics.h"
#include "runtime/data/record_tools.h"
#include "runtime/data/stat_html.h"

namespace lockstep::data {
namespace {

constexpr size_t kShownValues = 10;  // of a feature's different values

std::string RangeText(double least, double most) {
  return least == most ? absl::StrFormat("%.10g", least) : absl::StrFormat("%.10g .. %.10g", least, most);
}

// A line of bars, one a bin, the highest of eight eighths.
std::string Bars(const std::vector<int64_t>& histogram) {
  static constexpr const char* kBars[] = {" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
  const int64_t most = *std::max_element(histogram.begin(), histogram.end());
  std::string bars;
  for (const int64_t count : histogram) bars += kBars[(count * 8 + most - 1) / most];
  return bars;
}

// All places of a feature as one.
NumberStatistics Total(const FeatureStatistics& feature) {
  NumberStatistics total;
  double sum = 0;
  for (const NumberStatistics& n : feature.numbers) {
    if (n.count == 0) continue;
    total.min = total.count == 0 ? n.min : std::min(total.min, n.min);
    total.max = total.count == 0 ? n.max : std::max(total.max, n.max);
    sum += n.mean * static_cast<double>(n.count);
    total.count += n.count;
    total.not_finite += n.not_finite;
  }
  total.mean = total.count > 0 ? sum / static_cast<double>(total.count) : 0;
  if (feature.numbers.size() == 1) total.histogram = feature.numbers[0].histogram;
  return total;
}

// Class balance: the most frequent values with their shares.
void PrintValues(const FeatureStatistics& feature, std::ostream& out) {
  if (!feature.all_values || feature.values.size() > static_cast<size_t>(feature.elements) / 2) return;
  out << absl::StreamFormat("    %u different:", feature.values.size());
  for (size_t i = 0; i < std::min(kShownValues, feature.values.size()); ++i) {
    const ValueCount& value = feature.values[i];
    out << absl::StreamFormat(
        "%s %s (%.1f %%)", i == 0 ? "" : ",", value.value,
        100.0 * static_cast<double>(value.count) / static_cast<double>(feature.elements));
  }
  if (feature.values.size() > kShownValues) out << ", ...";
  out << "\n";
}

void PrintFeature(const std::string& name, const FeatureStatistics& feature, int64_t records,
                  std::ostream& out) {
  const bool bytes = feature.type == "bytes";
  const bool one_string = bytes && feature.min_length == 1 && feature.max_length == 1;
  const NumberStatistics total = Total(feature);
  const std::string lengths = one_string ? RangeText(feature.min_string_bytes, feature.max_string_bytes)
                                         : RangeText(feature.min_length, feature.max_length);
  out << absl::StreamFormat("%-20s %-8s %-14s %-24s %-14s %s\n", name,
                            bytes && !one_string ? "strings" : feature.type, lengths,
                            total.count > 0 ? RangeText(total.min, total.max) : "-",
                            total.count > 0 ? absl::StrFormat("%.6g", total.mean) : "-",
                            feature.records == records ? "all" : absl::StrCat(feature.records));
  if (total.not_finite > 0) out << "    " << total.not_finite << " of them are NaN or infinite\n";
  if (!total.histogram.empty() && total.max > total.min) out << "    |" << Bars(total.histogram) << "|\n";
  PrintValues(feature, out);
}

void Print(const std::map<std::string, std::vector<FeatureStatistics>>& features, const char* what,
           int64_t records, std::ostream& out) {
  if (features.empty()) return;
  out << absl::StreamFormat("%-20s %-8s %-14s %-24s %-14s %s\n", what, "type", "length", "values", "mean",
                            records < 0 ? "steps" : "in records");
  for (const auto& [name, types] : features) {
    for (const FeatureStatistics& feature : types) PrintFeature(name, feature, records, out);
  }
}

}  // namespace

absl::Status StatRecords(FileSystem* fs, const std::vector<std::string>& patterns, const StatOptions& options,
                         std::ostream& out) {
  ASSIGN_OR_RETURN(const std::vector<std::string> paths, ListRecordFiles(fs, patterns));
  ASSIGN_OR_RETURN(const auto dataset, Dataset::Open(fs, paths));
  ASSIGN_OR_RETURN(const Statistics statistics, ComputeStatistics(*dataset));
  if (!options.out.empty())
    RETURN_IF_ERROR(WriteFileAtomically(fs, options.out, WriteStatistics(statistics)));
  if (!options.html.empty())
    RETURN_IF_ERROR(WriteFileAtomically(fs, options.html, StatisticsPage(statistics)));
  if (options.json) {
    out << WriteStatistics(statistics);
    return absl::OkStatus();
  }
  const std::string sizes = RangeText(static_cast<double>(statistics.min_record_bytes),
                                      static_cast<double>(statistics.max_record_bytes));
  out << absl::StreamFormat("%d records in %u files, %d bytes; a record has %s bytes\nfingerprint %s\n",
                            dataset->size(), paths.size(), dataset->size_bytes(), sizes,
                            statistics.fingerprint);
  if (statistics.other_records > 0)
    out << statistics.other_records << " of them are no tf.train.Example and no SequenceExample\n";
  Print(statistics.features, "feature", dataset->size(), out);
  Print(statistics.lists, "feature list", -1, out);
  for (const std::string& path : {options.out, options.html}) {
    if (!path.empty()) out << "written to " << path << "\n";
  }
  return absl::OkStatus();
}

}  // namespace lockstep::data
