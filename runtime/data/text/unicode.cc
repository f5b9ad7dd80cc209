#include "runtime/data/text/unicode.h"

#include <algorithm>
#include <memory>
#include <vector>

#include "absl/types/span.h"

namespace lockstep::data::unicode {
namespace {

#include "runtime/data/text/unicode_tables.inc"

constexpr char32_t kEnd = 0x110000;

struct Mapping {
  char32_t from;
  std::u32string to;
};

// The tables spread out for use; made once, when first asked for.
class Tables {
 public:
  static const Tables& Get() {
    static const Tables tables;
    return tables;
  }

  uint8_t ClassOf(char32_t c) const { return c < kEnd ? classes_[c] : 0; }
  const std::u32string* Lower(char32_t c) const { return Find(lower_, c); }
  const std::u32string* Stripped(char32_t c) const { return Find(stripped_, c); }
  int CombiningClass(char32_t c) const {
    size_t low = 0, high = std::size(kKeptMarks) / 2;
    while (low < high) {
      const size_t middle = (low + high) / 2;
      if (static_cast<char32_t>(kKeptMarks[2 * middle]) < c) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    return low < std::size(kKeptMarks) / 2 && static_cast<char32_t>(kKeptMarks[2 * low]) == c
               ? kKeptMarks[2 * low + 1]
               : 0;
  }

 private:
  Tables() : classes_(new uint8_t[kEnd]()) {
    AddRanges(kLetters, kLetter);
    AddRanges(kNumbers, kNumber);
    AddRanges(kSpaces, kSpace);
    AddRanges(kPunctuationRanges, kPunctuation);
    AddRanges(kDroppedRanges, kDropped);
    AddRanges(kMarks, kMark);
    AddRanges(kStarterMarks, kOrdered);
    for (size_t i = 0; i < std::size(kKeptMarks); i += 2) classes_[kKeptMarks[i]] |= kOrdered;
    AddMappings(kLowerRuns, kLowerToMore, &lower_);
    AddMappings(kStripped, kStrippedToMore, &stripped_);
  }

  void AddRanges(absl::Span<const int32_t> ranges, uint8_t bit) {
    int32_t at = 0;
    for (size_t i = 0; i < ranges.size(); i += 2) {
      at += ranges[i];
      for (int32_t more = ranges[i + 1]; more > 0; --more) classes_[at++] |= bit;
      classes_[at] |= bit;
    }
  }

  void AddMappings(absl::Span<const int32_t> runs, absl::Span<const int32_t> spelled,
                   std::vector<Mapping>* mappings) {
    for (size_t i = 0; i < runs.size(); i += 4) {
      for (int32_t k = 0; k < runs[i + 1]; ++k) {
        const int32_t step = k * runs[i + 2];
        mappings->push_back({static_cast<char32_t>(runs[i] + step),
                             std::u32string(1, static_cast<char32_t>(runs[i + 3] + step))});
      }
    }
    for (size_t i = 0; i < spelled.size(); i += 2 + static_cast<size_t>(spelled[i + 1])) {
      const absl::Span<const int32_t> to = spelled.subspan(i + 2, static_cast<size_t>(spelled[i + 1]));
      mappings->push_back({static_cast<char32_t>(spelled[i]), std::u32string(to.begin(), to.end())});
    }
    std::sort(mappings->begin(), mappings->end(),
              [](const Mapping& a, const Mapping& b) { return a.from < b.from; });
    for (const Mapping& mapping : *mappings) classes_[mapping.from] |= kMaps;
  }

  static const std::u32string* Find(const std::vector<Mapping>& mappings, char32_t c) {
    const auto at =
        std::lower_bound(mappings.begin(), mappings.end(), c,
                         [](const Mapping& mapping, char32_t value) { return mapping.from < value; });
    return at != mappings.end() && at->from == c ? &at->to : nullptr;
  }

  const std::unique_ptr<uint8_t[]> classes_;  // pages of unassigned planes are never touched
  std::vector<Mapping> lower_, stripped_;
};

// Hangul syllables are decomposed by arithmetic (Unicode, section 3.12).
constexpr char32_t kHangul = 0xAC00, kHangulEnd = 0xD7A4, kLead = 0x1100, kVowel = 0x1161, kTrail = 0x11A7;
constexpr char32_t kVowels = 21, kTrails = 28;

void AppendHangul(char32_t c, std::u32string* out) {
  const char32_t index = c - kHangul;
  *out += kLead + index / (kVowels * kTrails);
  *out += kVowel + index / kTrails % kVowels;
  if (index % kTrails != 0) *out += kTrail + index % kTrails;
}

// The marks from `begin` to the end of `text` are sorted by combining class.
void SortMarks(size_t begin, std::u32string* text) {
  std::stable_sort(text->begin() + static_cast<std::ptrdiff_t>(begin), text->end(),
                   [](char32_t a, char32_t b) {
                     return Tables::Get().CombiningClass(a) < Tables::Get().CombiningClass(b);
                   });
}

}  // namespace

CodePoint DecodeNonAscii(const char* at, const char* end) {
  const auto byte = [&](int i) { return static_cast<unsigned char>(at[i]); };
  const unsigned char first = byte(0);
  const int wanted = first < 0xC2 ? 0 : first < 0xE0 ? 1 : first < 0xF0 ? 2 : first < 0xF5 ? 3 : 0;
  // Overlong forms, surrogates and what lies beyond U+10FFFF show in the second byte.
  unsigned char low = first == 0xE0 ? 0xA0 : first == 0xF0 ? 0x90 : 0x80;
  unsigned char high = first == 0xED ? 0x9F : first == 0xF4 ? 0x8F : 0xBF;
  char32_t value = wanted == 1 ? first & 0x1Fu : wanted == 2 ? first & 0x0Fu : first & 0x07u;
  int size = 1;
  while (size <= wanted && at + size < end && byte(size) >= low && byte(size) <= high) {
    value = value << 6 | (byte(size) & 0x3Fu);
    low = 0x80;
    high = 0xBF;
    ++size;
  }
  if (wanted == 0 || size <= wanted) return {kReplacement, size, false};
  return {value, size, true};
}

void AppendUtf8(char32_t c, std::string* out) {
  const auto add = [out](char32_t byte) { out->push_back(static_cast<char>(byte)); };
  if (c < 0x80) {
    add(c);
    return;
  }
  if (c < 0x800) {
    add(0xC0 | c >> 6);
  } else {
    if (c < 0x10000) {
      add(0xE0 | c >> 12);
    } else {
      add(0xF0 | c >> 18);
      add(0x80 | (c >> 12 & 0x3F));
    }
    add(0x80 | (c >> 6 & 0x3F));
  }
  add(0x80 | (c & 0x3F));
}

uint8_t ClassOf(char32_t c) { return Tables::Get().ClassOf(c); }

bool IsIdeograph(char32_t c) {
  return (c >= 0x4E00 && c <= 0x9FFF) || (c >= 0x3400 && c <= 0x4DBF) || (c >= 0x20000 && c <= 0x2A6DF) ||
         (c >= 0x2A700 && c <= 0x2B73F) || (c >= 0x2B740 && c <= 0x2B81F) || (c >= 0x2B920 && c <= 0x2CEAF) ||
         (c >= 0xF900 && c <= 0xFAFF) || (c >= 0x2F800 && c <= 0x2FA1F);
}

void AppendLower(char32_t c, std::u32string* out) {
  const std::u32string* lower = (ClassOf(c) & kMaps) != 0 ? Tables::Get().Lower(c) : nullptr;
  if (lower != nullptr) {
    *out += *lower;
  } else {
    *out += c;
  }
}

std::u32string StripAccents(const std::u32string& text) {
  std::u32string out;
  out.reserve(text.size());
  size_t run = 0;         // where the marks at the end of `out` begin
  bool unsorted = false;  // there are at least two of them
  const auto end_run = [&] {
    if (unsorted) SortMarks(run, &out);
    run = out.size();
    unsorted = false;
  };
  const auto add = [&](char32_t c) {
    const uint8_t bits = ClassOf(c);
    if ((bits & kOrdered) != 0 && (bits & kMark) == 0) {
      unsorted = out.size() > run;
      out += c;
      return;
    }
    end_run();
    out += c;
    run = out.size();
  };
  for (const char32_t c : text) {
    const uint8_t bits = ClassOf(c);
    if ((bits & kMark) != 0) {
      if ((bits & kOrdered) != 0) end_run();
      continue;
    }
    const std::u32string* to = (bits & kMaps) != 0 ? Tables::Get().Stripped(c) : nullptr;
    if (to != nullptr) {
      for (const char32_t part : *to) add(part);
    } else if (c >= kHangul && c < kHangulEnd) {
      end_run();
      AppendHangul(c, &out);
      run = out.size();
    } else {
      add(c);
    }
  }
  end_run();
  return out;
}

}  // namespace lockstep::data::unicode
