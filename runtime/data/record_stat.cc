// Statistics over all records.
#include <algorithm>
#include <limits>
#include <map>

#include "absl/strings/str_format.h"
#include "proto/example.pb.h"
#include "runtime/data/dataset.h"
#include "runtime/data/record_tools.h"

namespace lockstep::data {
namespace {

struct Range {
  double least = std::numeric_limits<double>::infinity(), most = -std::numeric_limits<double>::infinity();
  void Add(double value) {
    least = std::min(least, value);
    most = std::max(most, value);
  }
  std::string Text() const {
    if (least > most) return "-";
    return least == most ? absl::StrFormat("%.10g", least) : absl::StrFormat("%.10g .. %.10g", least, most);
  }
};

// One feature of one type.
struct FeatureStat {
  int64_t records = 0;
  Range lengths, values;  // elements; of a string its bytes
  double sum = 0;
  int64_t elements = 0;

  void Add(double value) {
    values.Add(value);
    sum += value;
    ++elements;
  }
};

// By (name, type). A feature that changes its type has several.
using Stats = std::map<std::pair<std::string, std::string>, FeatureStat>;

void AddBytes(const std::string& name, const records::BytesList& list, Stats* stats) {
  const bool one = list.value_size() == 1;
  FeatureStat& stat = (*stats)[{name, one ? "bytes" : "strings"}];
  ++stat.records;
  stat.lengths.Add(one ? static_cast<double>(list.value(0).size()) : list.value_size());
  for (const std::string& value : list.value()) {
    for (unsigned char byte : value) stat.Add(byte);
  }
}

template <typename List>
void AddNumbers(const std::string& name, const char* type, const List& list, Stats* stats) {
  FeatureStat& stat = (*stats)[{name, type}];
  ++stat.records;
  stat.lengths.Add(list.value_size());
  for (auto value : list.value()) stat.Add(static_cast<double>(value));
}

void AddExample(const records::Example& example, Stats* stats) {
  for (const auto& [name, feature] : example.features().feature()) {
    if (feature.has_bytes_list())
      AddBytes(name, feature.bytes_list(), stats);
    else if (feature.has_float_list())
      AddNumbers(name, "float", feature.float_list(), stats);
    else if (feature.has_int64_list())
      AddNumbers(name, "int64", feature.int64_list(), stats);
    else
      ++(*stats)[{name, "no list"}].records;
  }
}

void Print(const Stats& stats, int64_t records, std::ostream& out) {
  out << absl::StreamFormat("%-20s %-8s %-14s %-24s %-14s %s\n", "feature", "type", "length", "values",
                            "mean", "in records");
  for (const auto& [key, stat] : stats) {
    const std::string mean = stat.elements > 0 ? absl::StrFormat("%.6g", stat.sum / stat.elements) : "-";
    const std::string share = stat.records == records ? "all" : absl::StrCat(stat.records);
    out << absl::StreamFormat("%-20s %-8s %-14s %-24s %-14s %s\n", key.first, key.second, stat.lengths.Text(),
                              stat.values.Text(), mean, share);
  }
}

}  // namespace

absl::Status StatRecords(FileSystem* fs, const std::vector<std::string>& patterns, std::ostream& out) {
  ASSIGN_OR_RETURN(const std::vector<std::string> paths, ListRecordFiles(fs, patterns));
  ASSIGN_OR_RETURN(const auto dataset, Dataset::Open(fs, paths));
  Stats stats;
  Range sizes;
  int64_t others = 0;
  records::Example example;
  for (int64_t id = 0; id < dataset->size(); ++id) {
    ASSIGN_OR_RETURN(const absl::string_view record, dataset->Record(id));
    sizes.Add(static_cast<double>(record.size()));
    if (example.ParseFromArray(record.data(), static_cast<int>(record.size())))
      AddExample(example, &stats);
    else
      ++others;
  }
  out << absl::StreamFormat("%d records in %u files, %d bytes; a record has %s bytes\nfingerprint %s\n",
                            dataset->size(), paths.size(), dataset->size_bytes(), sizes.Text(),
                            dataset->fingerprint());
  if (others > 0) out << others << " of them are no tf.train.Example\n";
  if (!stats.empty()) Print(stats, dataset->size(), out);
  return absl::OkStatus();
}

}  // namespace lockstep::data
