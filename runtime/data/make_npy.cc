#include "runtime/data/make_npy.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <map>
#include <set>
#include <utility>

#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "proto/example.pb.h"
#include "runtime/core/dtype.h"
#include "runtime/core/names.h"
#include "runtime/data/make_parts.h"
#include "runtime/data/make_streamed.h"
#include "runtime/data/npy.h"
#include "runtime/data/order.h"

namespace lockstep::data {
namespace {

using Kind = NpyFeature::Kind;

// A feature and the array that it is made of.
struct Source {
  NpyFeature feature;
  const NpyArray* array = nullptr;
};

template <typename T>
T Load(const char* at) {
  T value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

float HalfToFloat(uint16_t half) {
  const uint32_t sign = uint32_t{half & 0x8000u} << 16, exponent = (half >> 10) & 31, fraction = half & 1023;
  if (exponent == 0) {  // zero and subnormals: a whole number of 2^-24
    const float value = static_cast<float>(fraction) * 0x1p-24f;
    return sign != 0 ? -value : value;
  }
  const uint32_t bits = sign | ((exponent == 31 ? 255 : exponent + 112) << 23) | (fraction << 13);
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

double FloatAt(const NpyArray& array, const char* at) {
  if (array.kind == 'f') {
    if (array.item_bytes == 2) return HalfToFloat(Load<uint16_t>(at));
    return array.item_bytes == 4 ? Load<float>(at) : Load<double>(at);
  }
  switch (array.item_bytes) {
    case 1:
      return array.kind == 'i' ? Load<int8_t>(at) : Load<uint8_t>(at);
    case 2:
      return array.kind == 'i' ? Load<int16_t>(at) : Load<uint16_t>(at);
    case 4:
      return array.kind == 'i' ? Load<int32_t>(at) : Load<uint32_t>(at);
    default:
      return array.kind == 'i' ? static_cast<double>(Load<int64_t>(at))
                               : static_cast<double>(Load<uint64_t>(at));
  }
}

// False: a number above the largest int64.
bool IntAt(const NpyArray& array, const char* at, int64_t* out) {
  switch (array.item_bytes) {
    case 1:
      *out = array.kind == 'i' ? Load<int8_t>(at) : Load<uint8_t>(at);
      return true;
    case 2:
      *out = array.kind == 'i' ? Load<int16_t>(at) : Load<uint16_t>(at);
      return true;
    case 4:
      *out = array.kind == 'i' ? Load<int32_t>(at) : Load<uint32_t>(at);
      return true;
    default:
      *out = Load<int64_t>(at);
      return array.kind == 'i' || *out >= 0;
  }
}

Kind KindOf(const NpyArray& array) {
  if (array.kind == 'S' || (array.kind == 'u' && array.item_bytes == 1)) return Kind::kBytes;
  return array.kind == 'f' ? Kind::kFloats : Kind::kInts;
}

// numpy pads strings with zeros at their ends.
std::string TextOf(absl::string_view padded) {
  while (!padded.empty() && padded.back() == '\0') padded.remove_suffix(1);
  return std::string(padded);
}

absl::Status AddRow(const Source& source, int64_t row, records::Feature* feature) {
  const NpyArray& array = *source.array;
  const absl::string_view bytes = array.Row(row);
  const auto item_bytes = static_cast<size_t>(array.item_bytes);
  if (source.feature.kind == Kind::kBytes) {
    if (array.kind != 'S') feature->mutable_bytes_list()->add_value(bytes.data(), bytes.size());
    for (size_t at = 0; array.kind == 'S' && at < bytes.size(); at += item_bytes)
      feature->mutable_bytes_list()->add_value(TextOf(bytes.substr(at, item_bytes)));
    return absl::OkStatus();
  }
  for (size_t at = 0; at < bytes.size(); at += item_bytes) {
    if (source.feature.kind == Kind::kFloats) {
      feature->mutable_float_list()->add_value(static_cast<float>(FloatAt(array, bytes.data() + at)));
      continue;
    }
    int64_t value = 0;
    if (!IntAt(array, bytes.data() + at, &value)) {
      return DataError(absl::StrCat("array '", source.feature.array, "', row ", row, ": ",
                                    static_cast<uint64_t>(value), " is larger than an int64"));
    }
    feature->mutable_int64_list()->add_value(value);
  }
  return absl::OkStatus();
}

absl::Status CheckKind(const std::string& input, const Source& source) {
  const char kind = source.array->kind;
  const bool fits = source.feature.kind == Kind::kBytes ||
                    (kind != 'S' && (source.feature.kind == Kind::kFloats || kind != 'f'));
  if (fits) return absl::OkStatus();
  return DataError(absl::StrCat(input, ": array '", source.feature.array, "' holds ",
                                kind == 'S' ? "strings" : "floats",
                                ", which make no feature of the type that is asked for"));
}

absl::StatusOr<std::vector<Source>> FindSources(const NpyOptions& options, const NpyArrays& arrays) {
  std::vector<Source> sources;
  std::vector<std::string> names;
  for (const auto& [name, array] : arrays.arrays()) {
    names.push_back(name);
    if (options.features.empty()) sources.push_back({{name, name, Kind::kAuto}, &array});
  }
  for (const NpyFeature& feature : options.features) {
    const auto at = std::find(names.begin(), names.end(), feature.array);
    if (at == names.end()) {
      return DataError(absl::StrCat(options.input, " has no array '", feature.array, "'",
                                    Suggestion(feature.array, names), "; it has ",
                                    absl::StrJoin(names, ", ")));
    }
    sources.push_back({feature, &arrays.arrays()[static_cast<size_t>(at - names.begin())].array});
  }
  std::set<std::string> made;
  for (Source& source : sources) {
    if (!made.insert(source.feature.feature).second)
      return ConfigError(absl::StrCat("feature '", source.feature.feature, "' is made twice"));
    if (source.feature.kind == Kind::kAuto) source.feature.kind = KindOf(*source.array);
    RETURN_IF_ERROR(CheckKind(options.input, source));
    if (source.array->rows() != sources.front().array->rows()) {
      return DataError(absl::StrCat(options.input, ": array '", sources.front().feature.array, "' has ",
                                    sources.front().array->rows(), " rows, and '", source.feature.array,
                                    "' has ", source.array->rows()));
    }
  }
  return sources;
}

// The bytes of all arrays would take long to hash; shapes and first rows, with file times, tell one input from another.
absl::StatusOr<std::string> IdentityOf(FileSystem* fs, const NpyOptions& options,
                                       const std::vector<Source>& sources) {
  std::string text = absl::StrCat("npy\n", options.shuffle.has_value() ? absl::StrCat(*options.shuffle) : "-",
                                  " ", options.test_every, "\n");
  for (const Source& source : sources) {
    absl::StrAppend(&text, source.feature.feature, "\n", source.feature.array, "\n",
                    static_cast<int>(source.feature.kind), " ", std::string(1, source.array->kind),
                    source.array->item_bytes, " ", absl::StrJoin(source.array->shape, ","), "\n");
  }
  const auto file = fs->Open(options.input);  // not of a folder
  if (file.ok()) absl::StrAppend(&text, (*file)->size_bytes(), " ", (*file)->modified_ns(), "\n");
  return text;
}

}  // namespace

absl::StatusOr<NpyFeature> ParseNpyFeature(const std::string& text) {
  static const std::map<std::string, Kind> kinds = {
      {"int", Kind::kInts}, {"float", Kind::kFloats}, {"bytes", Kind::kBytes}, {"", Kind::kAuto}};
  const std::pair<std::string, std::string> halves = absl::StrSplit(text, absl::MaxSplits(':', 1));
  const std::pair<std::string, std::string> type = absl::StrSplit(halves.second, absl::MaxSplits('=', 1));
  const auto known = kinds.find(type.first);
  if (halves.first.empty() || known == kinds.end() ||
      (type.first.empty() && text.size() != halves.first.size()))
    return ConfigError(absl::StrCat(
        "'", text, "' is not NAME, NAME:TYPE or NAME:TYPE=ARRAY; types of arrays are int, float and bytes"));
  return NpyFeature{halves.first, type.second.empty() ? halves.first : type.second, known->second};
}

absl::Status MakeFromNpy(FileSystem* fs, const NpyOptions& options, const MakeTarget& target,
                         std::ostream& out) {
  ASSIGN_OR_RETURN(const NpyArrays arrays, NpyArrays::Open(fs, options.input, options.limit_bytes));
  ASSIGN_OR_RETURN(const std::vector<Source> sources, FindSources(options, arrays));
  const int64_t rows = sources.front().array->rows();
  if (rows == 0) return DataError(absl::StrCat(options.input, " has no rows"));
  const Permutation shuffle(options.shuffle.value_or(0), 0, rows);
  MakePart train{options.test_every > 0 ? "-train" : "", target.shards, {}}, test{"-test", 1, {}};
  for (int64_t i = 0; i < rows; ++i) {
    const bool held_out = options.test_every > 0 && i % options.test_every == 0;
    (held_out ? test : train).items.push_back(options.shuffle.has_value() ? shuffle(i) : i);
  }
  MakeJob job;
  job.unit = "rows";
  ASSIGN_OR_RETURN(job.identity, IdentityOf(fs, options, sources));
  job.parts.push_back(std::move(train));
  if (options.test_every > 0) job.parts.push_back(std::move(test));
  job.record = [&](int64_t row, const MakeJob::Write& write) -> absl::Status {
    records::Example example;
    auto& features = *example.mutable_features()->mutable_feature();
    for (const Source& source : sources)
      RETURN_IF_ERROR(AddRow(source, row, &features[source.feature.feature]));
    return write(SerializeExample(example));
  };
  return MakeStreamed(fs, job, target, out);
}

}  // namespace lockstep::data
