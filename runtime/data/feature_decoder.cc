#include "runtime/data/feature_decoder.h"

#include "absl/strings/str_cat.h"

namespace lockstep::data {

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

absl::Status FeatureError(const FeatureSpec& spec, absl::string_view what) {
  return DataError(absl::StrCat("feature '", spec.name, "' ", what));
}

bool FeatureDecoder::Read(absl::string_view entry) {
  WireReader reader(entry, depth_ - 1);
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
  WireReader reader(feature, depth_);
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
    strings_ = 0;
    store_.Clear();
  }
  WireReader reader(list, depth_ + 1);
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
      store_.AddInteger(static_cast<int64_t>(value));
    } else if (number == 1 && type == WireType::kFixed32 && kind == FeatureKind::kFloat) {
      const char* value = nullptr;
      if (!reader.Fixed(4, &value)) return false;
      store_.AddFloats(value, 1);
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
    store_.AddFloats(packed.data(), static_cast<int64_t>(packed.size() / 4));
    return true;
  }
  WireReader reader(packed);
  while (!reader.done()) {
    uint64_t value = 0;
    if (!reader.Varint(&value)) return false;
    store_.AddInteger(static_cast<int64_t>(value));
  }
  return true;
}

absl::Status FeatureDecoder::CheckKind() {
  switch (kind_) {
    case FeatureKind::kNone:
      return Error("is there, but holds no list");
    case FeatureKind::kBytes:
      if (strings_ > 1 || (strings_ == 0 && !spec_.variable && spec_.ragged_rows == 0)) {
        return Error(absl::StrCat("holds ", strings_, " strings; wanted one of ", wanted_, " bytes (",
                                  spec_.type.ToString(), ")"));
      }
      store_.Clear();
      if (strings_ == 0 || store_.AddString(string_)) return absl::OkStatus();
      return Error(absl::StrCat("is a string of ", string_.size(), " bytes, and cannot be ",
                                lockstep::NameOf(*spec_.raw), " elements that become ",
                                spec_.type.ToString()));
    case FeatureKind::kFloat:
      if (spec_.raw) break;
      if (spec_.type.dtype == DType::kF32 || spec_.type.dtype == DType::kF16 ||
          spec_.type.dtype == DType::kBF16) {
        return absl::OkStatus();
      }
      return Error(absl::StrCat("is a float_list, and cannot become ", spec_.type.ToString()));
    case FeatureKind::kInt64:
      if (!spec_.raw) return absl::OkStatus();
  }
  return Error(absl::StrCat("is not a string of raw elements (it holds ", NameOf(kind_), ")"));
}

absl::Status FeatureDecoder::CheckRange() const {
  if (store_.all_fit()) return absl::OkStatus();
  const std::string where = wanted_ == 1 ? "" : absl::StrCat(" (element ", store_.bad_element(), ")");
  if (spec_.classes > 0)
    return Error(absl::StrCat("is ", store_.bad_value(), where, ", not in [0, ", spec_.classes, ")"));
  return Error(absl::StrCat("is ", store_.bad_value(), where, ", which does not fit ",
                            lockstep::NameOf(spec_.type.dtype)));
}

absl::Status FeatureDecoder::FinishFixed() {
  RETURN_IF_ERROR(CheckKind());
  if (count() != wanted_) return CountError();
  return CheckRange();
}

absl::Status FeatureDecoder::FinishVariable() {
  RETURN_IF_ERROR(FinishRow());
  return count() > wanted_ ? CountError() : absl::OkStatus();
}

absl::Status FeatureDecoder::FinishRow() {
  if (kind_ == FeatureKind::kNone) return absl::OkStatus();
  RETURN_IF_ERROR(CheckKind());
  return CheckRange();
}

absl::Status FeatureDecoder::CountError() const {
  const absl::string_view unit = kind_ == FeatureKind::kFloat   ? "floats"
                                 : kind_ == FeatureKind::kInt64 ? "integers"
                                 : spec_.raw                    ? "elements"
                                                                : "bytes";
  const absl::string_view most = spec_.variable || spec_.ragged_rows > 0 ? "at most " : "";
  return Error(
      absl::StrCat("has ", count(), " ", unit, "; wanted ", most, wanted_, " (", spec_.type.ToString(), ")"));
}

absl::Status FeatureDecoder::Error(absl::string_view what) const { return FeatureError(spec_, what); }

}  // namespace lockstep::data
