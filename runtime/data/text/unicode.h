// What the tokenizers ask of Unicode: UTF-8, classes of code points, lower case, decomposition.
//
// The tables are pinned (unicode_tables.inc, made by scripts/golden/make_unicode.py from the reference's own
// behaviour), not taken from the machine's library: another edition of Unicode would give other tokens, and
// so another result of the same run. All functions are pure and thread-safe.
#ifndef LOCKSTEP_RUNTIME_DATA_TEXT_UNICODE_H_
#define LOCKSTEP_RUNTIME_DATA_TEXT_UNICODE_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"

namespace lockstep::data::unicode {

constexpr char32_t kReplacement = 0xFFFD;

struct CodePoint {
  char32_t value = 0;  // kReplacement where the bytes are no UTF-8
  int size_bytes = 0;  // at least 1
  bool valid = true;   // false: `size_bytes` is the longest beginning of a character, or one byte
};

CodePoint DecodeNonAscii(const char* at, const char* end);

// The code point at `at` < `end`. Ill-formed bytes are parted as Unicode recommends (chapter 3, "maximal
// subparts"), which is also what Python's errors="replace" does.
inline CodePoint Decode(const char* at, const char* end) {
  const auto first = static_cast<unsigned char>(*at);
  return first < 0x80 ? CodePoint{first, 1, true} : DecodeNonAscii(at, end);
}

void AppendUtf8(char32_t c, std::string* out);

// Bits of a class. Code points that are no valid scalar value have none.
enum : uint8_t {
  kLetter = 1,       // \p{L}
  kNumber = 2,       // \p{N}
  kSpace = 4,        // \s
  kPunctuation = 8,  // of BERT's: also $ + < = > ^ ` | ~
  kDropped = 16,     // by BERT's clean_text: controls, formats, private use, U+0000, U+FFFD
  kMark = 32,        // non-spacing
  kMaps = 64,        // lower case or decomposition differs
  kOrdered = 128,    // a kept mark of a combining class other than 0, or a removed mark of class 0
};
uint8_t ClassOf(char32_t c);

// CJK ideographs as BERT counts them.
bool IsIdeograph(char32_t c);

// Appends the lower case of `c`, whatever stands beside it.
void AppendLower(char32_t c, std::u32string* out);

// Canonical decomposition (NFD) of `text` without its non-spacing marks.
std::u32string StripAccents(const std::u32string& text);

}  // namespace lockstep::data::unicode

#endif  // LOCKSTEP_RUNTIME_DATA_TEXT_UNICODE_H_
