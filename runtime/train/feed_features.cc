#include "runtime/train/feed_features.h"

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "runtime/data/sources.h"

namespace lockstep::train {
namespace {

absl::StatusOr<Shape> ShapeOf(const google::protobuf::RepeatedField<int64_t>& dims, absl::string_view field) {
  auto shape = Shape::FromDims({dims.data(), static_cast<size_t>(dims.size())});
  if (!shape.ok()) return ConfigError(absl::StrCat(field, ": ", shape.status().message()));
  return *shape;
}

absl::StatusOr<data::FeatureSpec> InputSpecOf(const InputFeature& config, absl::string_view field) {
  data::FeatureSpec input;
  input.name = config.feature();
  input.type.dtype = TypeOfInput(config);
  ASSIGN_OR_RETURN(input.type.shape, ShapeOf(config.shape(), absl::StrCat(field, ".shape")));
  input.scale = config.scale();
  input.offset = config.offset();
  input.variable = config.variable();
  input.pad = config.pad();
  input.fallback = {config.fallback().begin(), config.fallback().end()};
  if (!config.has_raw()) return input;
  auto raw = DTypeFromName(config.raw());
  if (!raw.ok()) return ConfigError(absl::StrCat(field, ".raw: ", raw.status().message()));
  input.raw = *raw;
  return input;
}

}  // namespace

DType TypeOfInput(const InputFeature& input) {
  switch (input.type()) {
    case InputFeature::F32:
      return DType::kF32;
    case InputFeature::I32:
      return DType::kI32;
    case InputFeature::I64:
      return DType::kI64;
    case InputFeature::U8:
      return DType::kU8;
  }
  return DType::kF32;
}

absl::StatusOr<data::FeatureSpec> LabelSpec(const DataConfig& config) {
  data::FeatureSpec label;
  label.name = config.label().feature();
  label.type.dtype = config.label().classes() > 0 ? DType::kI64 : DType::kF32;
  ASSIGN_OR_RETURN(label.type.shape, ShapeOf(config.label().shape(), "data.label.shape"));
  label.classes = config.label().classes();
  return label;
}

absl::StatusOr<std::shared_ptr<const data::SampleSource>> OpenFeatures(
    const DataConfig& config, std::shared_ptr<const data::Dataset> dataset) {
  std::vector<data::FeatureSpec> features, lists;
  ASSIGN_OR_RETURN(data::FeatureSpec input, InputSpecOf(config.input(), "data.input"));
  (config.input().steps() ? lists : features).push_back(std::move(input));
  ASSIGN_OR_RETURN(data::FeatureSpec label, LabelSpec(config));
  features.push_back(std::move(label));
  for (int i = 0; i < config.extra_size(); ++i) {
    ASSIGN_OR_RETURN(data::FeatureSpec extra,
                     InputSpecOf(config.extra(i), absl::StrCat("data.extra[", i, "]")));
    (config.extra(i).steps() ? lists : features).push_back(std::move(extra));
  }
  if (lists.empty()) return data::MakeExampleSource(std::move(dataset), std::move(features));
  return data::MakeSequenceSource(std::move(dataset), std::move(features), std::move(lists));
}

}  // namespace lockstep::train
