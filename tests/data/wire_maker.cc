#include "tests/data/wire_maker.h"

#include <cstring>

namespace lockstep::data {

std::string WireMaker::Varint(uint64_t value) {
  std::string bytes;
  for (; value >= 0x80; value >>= 7) bytes.push_back(static_cast<char>(value | 0x80));
  bytes.push_back(static_cast<char>(value));
  return bytes;
}

std::string WireMaker::Number(uint64_t value) {
  std::string bytes = Varint(value);
  if (!Quirk()) return bytes;
  for (uint64_t more = 1 + Below(10 - bytes.size() % 10); more > 0; --more) {
    bytes.back() = static_cast<char>(bytes.back() | 0x80);
    bytes.push_back(0);
  }
  return bytes;
}

std::string WireMaker::Field(uint32_t number, const std::string& bytes) {
  std::string field = Quirk() ? Unknown() : "";
  field += Tag(number, 2) + Number(Quirk() ? bytes.size() + Below(3) - 1 : bytes.size()) + bytes;
  if (Quirk()) field += Unknown();
  return field;
}

// A field of another number, or of another type than the schema says; groups up to deeper than is allowed.
std::string WireMaker::Unknown() {
  const auto number = static_cast<uint32_t>(Below(Quirk() ? 4 : 30));
  const std::string eight = "12345678";
  switch (Below(5)) {
    case 0:
      return Tag(number, 0) + Number(random_());
    case 1:
      return Tag(number, 1) + eight;
    case 2:
      return Tag(number, 5) + eight.substr(4);
    case 3:
      return Tag(number, 2) + Number(3) + "abc";
    default: {
      const uint64_t depth = Below(2) == 0 ? 1 + Below(3) : 92 + Below(12);
      std::string open, close;
      for (uint64_t i = 0; i < depth; ++i) {
        open += Varint(uint64_t{number + 4} << 3 | 3);
        close += Varint(uint64_t{number + 4 + (Quirk() ? 1 : 0)} << 3 | 4);
      }
      return open + close;
    }
  }
}

std::string WireMaker::List(int kind) {
  std::string list, packed;
  for (uint64_t count = Below(6); count > 0; --count) {
    const auto integer = static_cast<uint64_t>(static_cast<int64_t>(random_()) >> Below(64));
    const float number = static_cast<float>(static_cast<int64_t>(integer)) * 0.25f;
    char floats[4];
    std::memcpy(floats, &number, 4);
    const std::string float_bytes(floats, 4);
    if (kind == 1) {
      list += Field(1, std::string(Below(10), static_cast<char>(Below(256))));
    } else if (Below(3) > 0) {
      packed += kind == 3 ? Number(integer) : float_bytes;
    } else if (kind == 3) {
      list += Tag(1, 0) + Number(integer);
    } else {
      list += Tag(1, 5) + float_bytes;
    }
    if (kind != 1 && !packed.empty() && Below(3) == 0) {
      list += Field(1, packed);
      packed.clear();
    }
  }
  if (kind != 1 && (!packed.empty() || Quirk())) list += Field(1, packed + (Quirk() ? "x" : ""));
  return list;
}

std::string WireMaker::Feature() {
  std::string feature;
  uint64_t lists = Quirk() ? Below(4) : 1;
  const int kind = static_cast<int>(1 + Below(3));
  for (; lists > 0; --lists) {
    const int here = Quirk() ? static_cast<int>(1 + Below(3)) : kind;
    feature += Field(static_cast<uint32_t>(here), List(here));
  }
  return feature;
}

std::string WireMaker::Name() {
  if (!Quirk()) return names_[Below(names_.size())];
  static const char* const kNames[] = {"\xc3\xa9",         "\xff",     "\xed\xa0\x80", "\xf4\x8f\xbf\xbf",
                                       "\xf4\x90\x80\x80", "\xc0\x80", "\xe0\x9f\xbf", "\xe2\x82\xac",
                                       "\xe2\x82"};
  return kNames[Below(9)];
}

std::string WireMaker::Map(bool of_lists) {
  std::string map;
  for (uint64_t count = Below(6); count > 0; --count) {
    std::string value;
    if (of_lists) {
      for (uint64_t steps = Below(5); steps > 0; --steps) value += Field(1, Feature());
    } else {
      value = Feature();
    }
    std::string entry;
    if (!Quirk()) entry += Field(1, Name());
    if (!Quirk()) entry += Field(2, value);
    if (Quirk()) entry += Field(1, Name());
    if (Quirk()) entry = Field(2, of_lists ? Field(1, Feature()) : Feature()) + entry;
    map += Field(1, entry);
  }
  return map;
}

std::string WireMaker::Example() {
  std::string record = Field(1, Map(false));
  while (Quirk()) record += Field(1, Map(false));
  return record;
}

std::string WireMaker::SequenceExample() {
  std::string record = Field(1, Map(false)) + Field(2, Map(true));
  while (Quirk()) record += Field(static_cast<uint32_t>(1 + Below(2)), Map(Below(2) == 0));
  return record;
}

void WireMaker::Damage(std::string* bytes) {
  for (uint64_t n = 1 + Below(4); n > 0; --n) {
    const size_t at = Below(bytes->size() + 1), size = Below(8);
    switch (Below(5)) {
      case 0:
        bytes->insert(at, 1, static_cast<char>(Below(256)));
        break;
      case 1:
        bytes->erase(at, size);
        break;
      case 2:
        if (at < bytes->size()) (*bytes)[at] = static_cast<char>((*bytes)[at] ^ (1 << Below(8)));
        break;
      case 3:
        if (at < bytes->size()) (*bytes)[at] = static_cast<char>(Below(256));
        break;
      default:
        bytes->insert(Below(bytes->size() + 1), bytes->substr(at, size));
    }
  }
}

}  // namespace lockstep::data
