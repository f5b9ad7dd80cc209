#include "runtime/data/feature_decoder.h"

#include <algorithm>
#include <cstring>
#include <limits>

namespace lockstep::data {
namespace {

template <typename T>
T* As(std::byte* out) {
  return reinterpret_cast<T*>(out);
}

}  // namespace

absl::string_view NameOf(FeatureKind kind) {
  switch (kind) {
    case FeatureKind::kNone:
      return "no list";
    case FeatureKind::kBytes:
      return "bytes_list";
    case FeatureKind::kFloat:
      return "float_list";
    case FeatureKind::kInt64:
      return "int64_list";
  }
  return "unknown";
}

bool FeatureDecoder::Read(absl::string_view entry) {
  WireReader reader(entry);
  while (!reader.done()) {
    uint32_t number = 0;
    WireType type;
    absl::string_view value;
    if (!reader.Tag(&number, &type)) return false;
    if (number == 2 && type == WireType::kBytes) {
      if (!reader.Bytes(&value) || !ReadFeature(value)) return false;
    } else if (!reader.Skip(number, type)) {
      return false;
    }
  }
  return true;
}

bool FeatureDecoder::ReadFeature(absl::string_view feature) {
  WireReader reader(feature);
  while (!reader.done()) {
    uint32_t number = 0;
    WireType type;
    absl::string_view list;
    if (!reader.Tag(&number, &type)) return false;
    if (number >= 1 && number <= 3 && type == WireType::kBytes) {
      if (!reader.Bytes(&list) || !ReadList(static_cast<FeatureKind>(number), list)) return false;
    } else if (!reader.Skip(number, type)) {
      return false;
    }
  }
  return true;
}

bool FeatureDecoder::ReadList(FeatureKind kind, absl::string_view list) {
  if (kind != kind_) {
    kind_ = kind;
    count_ = strings_ = 0;
    misfit_ = false;
  }
  WireReader reader(list);
  while (!reader.done()) {
    uint32_t number = 0;
    WireType type;
    if (!reader.Tag(&number, &type)) return false;
    if (number == 1 && type == WireType::kBytes) {
      absl::string_view bytes;
      if (!reader.Bytes(&bytes) || !AddPacked(kind, bytes)) return false;
    } else if (number == 1 && type == WireType::kVarint && kind == FeatureKind::kInt64) {
      uint64_t value = 0;
      if (!reader.Varint(&value)) return false;
      AddInteger(static_cast<int64_t>(value));
    } else if (number == 1 && type == WireType::kFixed32 && kind == FeatureKind::kFloat) {
      const char* value = nullptr;
      if (!reader.Fixed(4, &value)) return false;
      AddFloats(value, 1);
    } else if (!reader.Skip(number, type)) {
      return false;
    }
  }
  return true;
}

bool FeatureDecoder::AddPacked(FeatureKind kind, absl::string_view packed) {
  if (kind == FeatureKind::kBytes) {  // not packed: one string
    ++strings_;
    string_ = packed;
    return true;
  }
  if (kind == FeatureKind::kFloat) {
    if (packed.size() % 4 != 0) return false;
    AddFloats(packed.data(), static_cast<int64_t>(packed.size() / 4));
    return true;
  }
  WireReader reader(packed);
  while (!reader.done()) {
    uint64_t value = 0;
    if (!reader.Varint(&value)) return false;
    AddInteger(static_cast<int64_t>(value));
  }
  return true;
}

void FeatureDecoder::AddFloats(const char* floats, int64_t count) {
  const int64_t stored = std::min(count, wanted_ - std::min(count_, wanted_));
  if (spec_.type.dtype == DType::kF32 && stored > 0) {
    float* out = As<float>(out_) + count_;
    std::memcpy(out, floats, static_cast<size_t>(stored) * sizeof(float));
    if (!plain_) {
      for (int64_t i = 0; i < stored; ++i) out[i] = spec_.scale * out[i] + spec_.offset;
    }
  }
  count_ += count;
}

void FeatureDecoder::AddInteger(int64_t value) {
  if (count_ < wanted_) StoreInteger(value);
  ++count_;
}

void FeatureDecoder::StoreInteger(int64_t value) {
  bool fits = spec_.classes == 0 || (value >= 0 && value < spec_.classes);
  switch (spec_.type.dtype) {
    case DType::kU8:
      fits = fits && value >= 0 && value <= 255;
      As<uint8_t>(out_)[count_] = static_cast<uint8_t>(value);
      break;
    case DType::kI32:
      fits = fits && value == static_cast<int32_t>(value);
      As<int32_t>(out_)[count_] = static_cast<int32_t>(value);
      break;
    case DType::kI64:
      As<int64_t>(out_)[count_] = value;
      break;
    default:
      As<float>(out_)[count_] =
          plain_ ? static_cast<float>(value) : spec_.scale * static_cast<float>(value) + spec_.offset;
  }
  if (!fits && !misfit_) {
    misfit_ = true;
    bad_value_ = value;
    bad_element_ = count_;
  }
}

absl::Status FeatureDecoder::Finish() {
  switch (kind_) {
    case FeatureKind::kNone:
      return Error("is there, but holds no list");
    case FeatureKind::kBytes:
      return FinishBytes();
    case FeatureKind::kFloat:
      if (spec_.type.dtype != DType::kF32) {
        return Error(absl::StrCat("is a float_list, and cannot become ", spec_.type.ToString()));
      }
      return count_ == wanted_ ? absl::OkStatus() : CountError("floats");
    case FeatureKind::kInt64:
      break;
  }
  if (count_ != wanted_) return CountError("integers");
  if (!misfit_) return absl::OkStatus();
  const std::string where = wanted_ == 1 ? "" : absl::StrCat(" (element ", bad_element_, ")");
  if (spec_.classes > 0)
    return Error(absl::StrCat("is ", bad_value_, where, ", not in [0, ", spec_.classes, ")"));
  return Error(
      absl::StrCat("is ", bad_value_, where, ", which does not fit ", lockstep::NameOf(spec_.type.dtype)));
}

absl::Status FeatureDecoder::FinishBytes() {
  if (strings_ != 1) {
    return Error(absl::StrCat("holds ", strings_, " strings; wanted one of ", wanted_, " bytes (",
                              spec_.type.ToString(), ")"));
  }
  count_ = static_cast<int64_t>(string_.size());
  if (count_ != wanted_) return CountError("bytes");
  const auto* bytes = reinterpret_cast<const uint8_t*>(string_.data());
  if (spec_.type.dtype == DType::kU8 && spec_.classes == 0) {
    if (count_ > 0) std::memcpy(out_, bytes, static_cast<size_t>(count_));
  } else if (spec_.type.dtype == DType::kF32) {
    float* out = As<float>(out_);
    if (plain_) {
      for (int64_t i = 0; i < wanted_; ++i) out[i] = bytes[i];
    } else {
      for (int64_t i = 0; i < wanted_; ++i)
        out[i] = spec_.scale * static_cast<float>(bytes[i]) + spec_.offset;
    }
  } else {
    kind_ = FeatureKind::kInt64;
    count_ = 0;
    for (int64_t i = 0; i < wanted_; ++i) AddInteger(bytes[i]);
    return Finish();
  }
  return absl::OkStatus();
}

absl::Status FeatureDecoder::CountError(absl::string_view unit) const {
  return Error(
      absl::StrCat("has ", count_, " ", unit, "; wanted ", wanted_, " (", spec_.type.ToString(), ")"));
}

absl::Status FeatureDecoder::Error(absl::string_view what) const {
  return DataError(absl::StrCat("feature '", spec_.name, "' ", what));
}

}  // namespace lockstep::data
