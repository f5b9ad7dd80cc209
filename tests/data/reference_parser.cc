#include "tests/data/reference_parser.h"

#include <cstring>
#include <limits>

namespace lockstep::data {
namespace {

using Elements = std::optional<std::vector<std::string>>;  // each as its bytes in memory

template <typename T>
std::string BytesOf(T value) {
  return std::string(reinterpret_cast<const char*>(&value), sizeof value);
}

template <typename T>
std::optional<std::string> IntegerAs(int64_t value) {
  if (value < int64_t{std::numeric_limits<T>::min()} || value > int64_t{std::numeric_limits<T>::max()})
    return std::nullopt;
  return BytesOf(static_cast<T>(value));
}

std::optional<std::string> Float(const FeatureSpec& spec, float value) {
  if (spec.type.dtype != DType::kF32) return std::nullopt;
  const float product = spec.scale * value;
  return BytesOf(spec.scale == 1 && spec.offset == 0 ? value : product + spec.offset);
}

std::optional<std::string> Integer(const FeatureSpec& spec, int64_t value) {
  if (spec.classes > 0 && (value < 0 || value >= spec.classes)) return std::nullopt;
  switch (spec.type.dtype) {
    case DType::kU8:
      return IntegerAs<uint8_t>(value);
    case DType::kI8:
      return IntegerAs<int8_t>(value);
    case DType::kI32:
      return IntegerAs<int32_t>(value);
    case DType::kU32:
      return IntegerAs<uint32_t>(value);
    case DType::kI64:
      return BytesOf(value);
    default:
      return Float(spec, static_cast<float>(value));
  }
}

std::optional<std::vector<std::string>> String(const FeatureSpec& spec, const std::string& string) {
  std::vector<std::string> elements;
  const size_t size = spec.raw ? 4 : 1;  // of raw ones, F32 and I32 are tried
  if (string.size() % size != 0) return std::nullopt;
  for (size_t at = 0; at < string.size(); at += size) {
    std::optional<std::string> element;
    if (!spec.raw) {
      element = Integer(spec, static_cast<uint8_t>(string[at]));
    } else if (*spec.raw == DType::kF32) {
      float value = 0;
      std::memcpy(&value, string.data() + at, 4);
      element = Float(spec, value);
    } else {
      int32_t value = 0;
      std::memcpy(&value, string.data() + at, 4);
      element = Integer(spec, value);
    }
    if (!element) return std::nullopt;
    elements.push_back(*element);
  }
  return elements;
}

bool HoldsNothing(const records::Feature& feature) {
  return feature.kind_case() == records::Feature::KIND_NOT_SET;
}

// Of a feature that holds a list. `may_be_none`: no string is as good as one.
Elements ElementsOf(const FeatureSpec& spec, const records::Feature& feature, bool may_be_none) {
  std::vector<std::string> elements;
  if (feature.has_bytes_list()) {
    if (feature.bytes_list().value_size() == 0 && may_be_none) return elements;
    if (feature.bytes_list().value_size() != 1) return std::nullopt;
    return String(spec, feature.bytes_list().value(0));
  }
  if (spec.raw) return std::nullopt;
  const auto add = [&](const std::optional<std::string>& element) {
    if (element) elements.push_back(*element);
    return element.has_value();
  };
  if (feature.has_float_list()) {
    if (spec.type.dtype != DType::kF32) return std::nullopt;
    for (float value : feature.float_list().value()) add(Float(spec, value));
    return elements;
  }
  for (int64_t value : feature.int64_list().value()) {
    if (!add(Integer(spec, value))) return std::nullopt;
  }
  return elements;
}

std::string Join(const std::vector<std::string>& elements) {
  std::string joined;
  for (const std::string& element : elements) joined += element;
  return joined;
}

std::string Repeat(const FeatureSpec& spec, double value, size_t count) {
  FeatureSpec plain;
  plain.type = spec.type;
  const std::string one = spec.type.dtype == DType::kF32 ? BytesOf(static_cast<float>(value))
                                                         : *Integer(plain, static_cast<int64_t>(value));
  std::string joined;
  for (size_t i = 0; i < count; ++i) joined += one;
  return joined;
}

// The outputs of one feature: elements, and lengths and offsets.
struct Of {
  std::string elements;
  std::vector<std::string> more;
};

std::optional<Of> Padded(const FeatureSpec& spec, const std::vector<std::string>& elements) {
  const auto most = static_cast<size_t>(spec.type.shape.NumElements());
  const size_t row = most / static_cast<size_t>(spec.type.shape[0]);
  if (elements.size() > most || elements.size() % row != 0) return std::nullopt;
  return Of{Join(elements) + Repeat(spec, spec.pad, most - elements.size()),
            {BytesOf(static_cast<int32_t>(elements.size() / row))}};
}

std::optional<Of> Ragged(const FeatureSpec& spec, const std::vector<Elements>& rows) {
  std::vector<std::string> all;
  std::string offsets = BytesOf(int32_t{0});
  for (const Elements& row : rows) {
    if (!row) return std::nullopt;
    all.insert(all.end(), row->begin(), row->end());
    offsets += BytesOf(static_cast<int32_t>(all.size()));
  }
  const auto most = static_cast<size_t>(spec.type.shape[0]);
  if (all.size() > most || static_cast<int64_t>(rows.size()) > spec.ragged_rows) return std::nullopt;
  while (offsets.size() < 4 * static_cast<size_t>(spec.ragged_rows + 1))
    offsets += BytesOf(static_cast<int32_t>(all.size()));
  return Of{Join(all) + Repeat(spec, spec.pad, most - all.size()),
            {BytesOf(static_cast<int32_t>(rows.size())), offsets}};
}

std::optional<Of> Feature(const FeatureSpec& spec, const records::Feature& feature) {
  if (spec.ragged_rows > 0) {
    if (!HoldsNothing(feature) && !feature.has_bytes_list()) return std::nullopt;
    std::vector<Elements> rows;
    for (const std::string& string : feature.bytes_list().value()) rows.push_back(String(spec, string));
    return Ragged(spec, rows);
  }
  if (spec.variable) {
    if (HoldsNothing(feature)) return Padded(spec, {});
    const Elements elements = ElementsOf(spec, feature, true);
    return elements ? Padded(spec, *elements) : std::nullopt;
  }
  const auto count = static_cast<size_t>(spec.type.shape.NumElements());
  if (HoldsNothing(feature)) {
    if (spec.fallback.empty()) return std::nullopt;
    return Of{Repeat(spec, spec.fallback[0], count), {}};
  }
  const Elements elements = ElementsOf(spec, feature, false);
  if (!elements || elements->size() != count) return std::nullopt;
  return Of{Join(*elements), {}};
}

std::optional<Of> List(const FeatureSpec& spec, const records::FeatureList* found) {
  static const records::FeatureList kNone;
  const records::FeatureList& list = found == nullptr ? kNone : *found;
  if (spec.ragged_rows > 0) {
    std::vector<Elements> rows;
    for (const auto& feature : list.feature()) {
      rows.push_back(HoldsNothing(feature) ? std::vector<std::string>() : ElementsOf(spec, feature, true));
    }
    return Ragged(spec, rows);
  }
  if (found == nullptr && !spec.variable) {
    if (spec.fallback.empty()) return std::nullopt;
    return Of{Repeat(spec, spec.fallback[0], static_cast<size_t>(spec.type.shape.NumElements())), {}};
  }
  std::vector<std::string> all;
  const int64_t row = spec.type.shape.NumElements() / spec.type.shape[0];
  for (const auto& feature : list.feature()) {
    if (HoldsNothing(feature)) return std::nullopt;
    const Elements elements = ElementsOf(spec, feature, false);
    if (!elements || static_cast<int64_t>(elements->size()) != row) return std::nullopt;
    all.insert(all.end(), elements->begin(), elements->end());
  }
  if (list.feature_size() > spec.type.shape[0]) return std::nullopt;
  if (!spec.variable && list.feature_size() != spec.type.shape[0]) return std::nullopt;
  std::optional<Of> padded = Padded(spec, all);
  if (!spec.variable) padded->more.clear();
  return padded;
}

template <typename One>
Outputs Collect(const std::vector<FeatureSpec>& specs, const One& one) {
  std::vector<std::string> outputs, more;
  for (const FeatureSpec& spec : specs) {
    const std::optional<Of> of = one(spec);
    if (!of) return std::nullopt;
    outputs.push_back(of->elements);
    more.insert(more.end(), of->more.begin(), of->more.end());
  }
  outputs.insert(outputs.end(), more.begin(), more.end());
  return outputs;
}

}  // namespace

Outputs ReferenceFeatures(const records::Features& features, const std::vector<FeatureSpec>& specs) {
  return Collect(specs, [&](const FeatureSpec& spec) {
    const auto at = features.feature().find(spec.name);
    return Feature(spec, at == features.feature().end() ? records::Feature() : at->second);
  });
}

Outputs ReferenceLists(const records::FeatureLists& lists, const std::vector<FeatureSpec>& specs) {
  return Collect(specs, [&](const FeatureSpec& spec) {
    const auto at = lists.feature_list().find(spec.name);
    return List(spec, at == lists.feature_list().end() ? nullptr : &at->second);
  });
}

}  // namespace lockstep::data
