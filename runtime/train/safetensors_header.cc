#include "runtime/train/safetensors_header.h"

#include <limits>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

namespace lockstep::train {
namespace {

using Json = nlohmann::json;

constexpr char kMetadataName[] = "__metadata__";
constexpr size_t kMaxRankRead =
    64;  // more dimensions than any tensor has; longer lists are refused while they are read

// Receives the text as events; each returns false to end the parse, with error_ saying why.
class HeaderReader final : public nlohmann::json_sax<Json> {
 public:
  SafetensorsHeader header;
  std::string error;

  bool start_object(size_t) override {
    if (place_ == Place::kStart) return Enter(Place::kNames);
    if (place_ == Place::kNames && in_metadata_) return Enter(Place::kMetadata);
    if (place_ == Place::kNames && has_name_) return Enter(Place::kFields);
    return Fail("an object");
  }

  bool key(string_t& name) override {
    if (place_ == Place::kMetadata) {
      if (!header.metadata.emplace(name, "").second) return Error("metadata '" + name + "' occurs twice");
      metadata_key_ = name;
      return true;
    }
    if (place_ == Place::kFields) {
      const int bit = name == "dtype" ? 1 : name == "shape" ? 2 : name == "data_offsets" ? 4 : 0;
      if (bit == 0) return Error("tensor '" + entry_.name + "' has an unknown field '" + name + "'");
      if ((seen_ & bit) != 0) return Error("tensor '" + entry_.name + "' has two fields '" + name + "'");
      seen_ |= bit;
      field_ = bit;
      return true;
    }
    if (!names_.insert(name).second) return Error("'" + name + "' occurs twice");
    in_metadata_ = name == kMetadataName;
    has_name_ = true;
    entry_ = SafetensorsEntry();
    entry_.name = name;
    seen_ = 0;
    return true;
  }

  bool end_object() override {
    if (place_ == Place::kFields) {
      if (seen_ != 7) return Error("tensor '" + entry_.name + "' lacks dtype, shape or data_offsets");
      header.entries.push_back(std::move(entry_));
    }
    if (place_ == Place::kNames) return Enter(Place::kEnd);
    in_metadata_ = has_name_ = false;
    return Enter(Place::kNames);
  }

  bool start_array(size_t) override {
    if (place_ != Place::kFields || (field_ != 2 && field_ != 4)) return Fail("a list");
    values_.clear();
    return Enter(Place::kList);
  }

  bool number_unsigned(number_unsigned_t value) override {
    if (place_ != Place::kList) return Fail("a number");
    if (values_.size() == kMaxRankRead) return Error("tensor '" + entry_.name + "' has too many dimensions");
    values_.push_back(value);
    return true;
  }

  bool end_array() override {
    if (field_ == 2) {
      for (const uint64_t value : values_) {
        if (value > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
          return Error("tensor '" + entry_.name + "' has a dimension of " + std::to_string(value));
        }
        entry_.shape.push_back(static_cast<int64_t>(value));
      }
    } else {
      if (values_.size() != 2) return Error("tensor '" + entry_.name + "': data_offsets must be two numbers");
      entry_.begin = values_[0];
      entry_.end = values_[1];
    }
    return Enter(Place::kFields);
  }

  bool string(string_t& value) override {
    if (place_ == Place::kMetadata) {
      header.metadata[metadata_key_] = value;
      return true;
    }
    if (place_ != Place::kFields || field_ != 1) return Fail("a string");
    entry_.dtype = value;
    return true;
  }

  bool null() override { return Fail("null"); }
  bool boolean(bool) override { return Fail("a boolean"); }
  bool number_integer(number_integer_t) override { return Fail("a negative number"); }
  bool number_float(number_float_t, const string_t&) override { return Fail("a fraction"); }
  bool binary(binary_t&) override { return Fail("binary data"); }
  bool parse_error(size_t position, const std::string&, const Json::exception&) override {
    return Error("malformed JSON at byte " + std::to_string(8 + position - (position > 0 ? 1 : 0)));
  }

 private:
  enum class Place { kStart, kNames, kMetadata, kFields, kList, kEnd };

  bool Enter(Place place) {
    place_ = place;
    return true;
  }
  bool Error(std::string text) {
    error = std::move(text);
    return false;
  }
  bool Fail(const char* what) {
    if (place_ == Place::kMetadata)
      return Error("metadata '" + metadata_key_ + "' is " + what + ", not a string");
    if (has_name_) return Error("unexpected: " + std::string(what) + " in tensor '" + entry_.name + "'");
    return Error("unexpected: " + std::string(what));
  }

  Place place_ = Place::kStart;
  SafetensorsEntry entry_;
  int seen_ = 0, field_ = 0;  // bits: 1 dtype, 2 shape, 4 data_offsets
  bool in_metadata_ = false, has_name_ = false;
  std::string metadata_key_;
  std::vector<uint64_t> values_;
  std::set<std::string> names_;
};

}  // namespace

absl::StatusOr<SafetensorsHeader> ParseSafetensorsHeader(absl::string_view json) {
  if (json.empty() || json.front() != '{') return DataError("the header does not begin with '{'");
  while (json.back() == ' ') json.remove_suffix(1);
  HeaderReader reader;
  if (!Json::sax_parse(json.begin(), json.end(), &reader)) {
    return DataError(reader.error.empty() ? "malformed JSON" : reader.error);
  }
  return std::move(reader.header);
}

}  // namespace lockstep::train
