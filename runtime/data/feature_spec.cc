#include "runtime/data/feature_spec.h"

#include <cmath>
#include <limits>
#include <set>

#include "absl/strings/str_cat.h"
#include "runtime/data/element_store.h"

namespace lockstep::data {
namespace {

bool IsFloat(DType dtype) { return dtype == DType::kF32 || dtype == DType::kF16 || dtype == DType::kBF16; }

absl::Status CheckType(const FeatureSpec& spec, const std::string& name) {
  const DType dtype = spec.type.dtype;
  if (dtype == DType::kF64 || dtype == DType::kU64) {
    return ConfigError(absl::StrCat(name, " cannot be read as ", NameOf(dtype),
                                    "; use U8, I8, I32, U32, I64, F16, BF16 or F32"));
  }
  if (!IsFloat(dtype) && (spec.scale != 1 || spec.offset != 0)) {
    return ConfigError(absl::StrCat(name, ": scale and offset need F32, not ", NameOf(dtype)));
  }
  if (spec.classes < 0 || (spec.classes > 0 && IsFloat(dtype))) {
    return ConfigError(absl::StrCat(name, ": classes need an integer type and a number above 0"));
  }
  if (spec.raw && *spec.raw == DType::kU64) {
    return ConfigError(absl::StrCat(name, ": raw elements cannot be U64"));
  }
  return absl::OkStatus();
}

absl::Status CheckLengths(const FeatureSpec& spec, const std::string& name) {
  const Shape& shape = spec.type.shape;
  const bool ragged = spec.ragged_rows != 0;
  if (!spec.variable && !ragged) return absl::OkStatus();
  if (spec.variable && ragged) return ConfigError(absl::StrCat(name, " is either variable or ragged"));
  if (shape.rank() < 1 || shape[0] < 1 || shape[0] > std::numeric_limits<int32_t>::max() ||
      (shape.NumElements() < 1)) {
    return ConfigError(absl::StrCat(name, ": its shape ", shape.ToString(),
                                    " must begin with the largest number of rows, at least 1"));
  }
  if (ragged && (shape.rank() != 1 || spec.ragged_rows < 1 ||
                 spec.ragged_rows >= std::numeric_limits<int32_t>::max())) {
    return ConfigError(absl::StrCat(name,
                                    ": a ragged feature has the shape [most elements], and at least one row, "
                                    "not ",
                                    shape.ToString(), " and ", spec.ragged_rows));
  }
  if (!spec.fallback.empty()) {
    return ConfigError(
        absl::StrCat(name, ": without a record's value it has no rows; leave out the default"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckFeatures(const std::vector<FeatureSpec>& features) {
  std::set<std::string> names;
  for (const FeatureSpec& spec : features) {
    const std::string name = absl::StrCat("feature '", spec.name, "'");
    if (!names.insert(spec.name).second) return ConfigError(absl::StrCat(name, " is given twice"));
    RETURN_IF_ERROR(CheckType(spec, name));
    RETURN_IF_ERROR(CheckLengths(spec, name));
    const size_t count = static_cast<size_t>(spec.type.shape.NumElements());
    if (spec.fallback.size() > 1 && spec.fallback.size() != count) {
      return ConfigError(absl::StrCat(name, " has ", spec.fallback.size(), " default values for ", count,
                                      " elements; give one, or one each"));
    }
    for (const double value : spec.fallback) {
      if (!Fits(value, spec.type.dtype) || (spec.classes > 0 && (value < 0 || value >= spec.classes))) {
        return ConfigError(absl::StrCat(name, ": the default ", value, " is no ", NameOf(spec.type.dtype),
                                        spec.classes > 0 ? absl::StrCat(" in [0, ", spec.classes, ")") : ""));
      }
    }
    if (!Fits(spec.pad, spec.type.dtype)) {
      return ConfigError(absl::StrCat(name, ": the padding ", spec.pad, " is no ", NameOf(spec.type.dtype)));
    }
  }
  return absl::OkStatus();
}

std::vector<InputSpec> OutputsOf(const std::vector<FeatureSpec>& features) {
  std::vector<InputSpec> outputs;
  for (const FeatureSpec& spec : features) outputs.push_back({spec.name, spec.type});
  for (const FeatureSpec& spec : features) {
    if (spec.variable || spec.ragged_rows > 0) {
      outputs.push_back({absl::StrCat(spec.name, ".length"), {DType::kI32, Shape()}});
    }
    if (spec.ragged_rows > 0) {
      outputs.push_back({absl::StrCat(spec.name, ".offsets"), {DType::kI32, Shape{spec.ragged_rows + 1}}});
    }
  }
  return outputs;
}

}  // namespace lockstep::data
