#include "runtime/data/text/byte_level.h"

#include <array>

#include "absl/strings/match.h"
#include "runtime/data/text/unicode.h"

namespace lockstep::data {
namespace {

constexpr uint8_t kKinds = unicode::kLetter | unicode::kNumber | unicode::kSpace;

constexpr std::array<uint8_t, 128> AsciiKinds() {
  std::array<uint8_t, 128> kinds = {};
  for (char c = 'a'; c <= 'z'; ++c) kinds[c] = kinds[c - 'a' + 'A'] = unicode::kLetter;
  for (char c = '0'; c <= '9'; ++c) kinds[c] = unicode::kNumber;
  for (const char c : {'\t', '\n', '\v', '\f', '\r', ' '}) kinds[c] = unicode::kSpace;
  return kinds;
}

// The kind of the character at `at`: one bit of kKinds, or 0 for all others.
uint8_t KindAt(const char* at, const char* end, int* size_bytes) {
  const auto first = static_cast<unsigned char>(*at);
  if (first < 0x80) {
    static constexpr std::array<uint8_t, 128> kinds = AsciiKinds();
    *size_bytes = 1;
    return kinds[first];
  }
  const unicode::CodePoint c = unicode::Decode(at, end);
  *size_bytes = c.size_bytes;
  return c.valid ? unicode::ClassOf(c.value) & kKinds : 0;
}

size_t Contraction(absl::string_view text) {
  for (const absl::string_view ending : {"'s", "'t", "'re", "'ve", "'m", "'ll", "'d"}) {
    if (absl::StartsWith(text, ending)) return ending.size();
  }
  return 0;
}

struct ByteAlphabet {
  std::array<char32_t, 256> characters = {};
  std::array<int16_t, 512> bytes = {};  // of characters below U+0200; -1: none

  ByteAlphabet() {
    bytes.fill(-1);
    char32_t next = 0x100;
    for (int byte = 0; byte < 256; ++byte) {
      const bool plain = (byte >= '!' && byte <= '~') || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
      characters[byte] = plain ? static_cast<char32_t>(byte) : next++;
      bytes[characters[byte]] = static_cast<int16_t>(byte);
    }
  }
};

const ByteAlphabet& Alphabet() {
  static const ByteAlphabet alphabet;
  return alphabet;
}

}  // namespace

size_t ByteLevelWord(absl::string_view text) {
  const char *const begin = text.data(), *const end = begin + text.size();
  const char* at = begin;
  if (*at == '\'') {
    if (const size_t size = Contraction(text); size > 0) return size;
  }
  int size = 0;
  uint8_t kind = KindAt(at, end, &size);
  if (*at == ' ' && at + 1 < end) {  // a space belongs to the word behind it
    int next_size = 0;
    const uint8_t next = KindAt(at + 1, end, &next_size);
    if (next != unicode::kSpace) {
      ++at;
      kind = next;
      size = next_size;
    }
  }
  int last = 0;  // size of the last character taken
  do {
    last = size;
    at += size;
  } while (at < end && KindAt(at, end, &size) == kind);
  // Of blanks in front of a word the last is left to it, or stands alone.
  if (kind == unicode::kSpace && at < end && at - begin > last) at -= last;
  return static_cast<size_t>(at - begin);
}

char32_t CharacterOfByte(uint8_t byte) { return Alphabet().characters[byte]; }

std::optional<uint8_t> ByteOfCharacter(char32_t c) {
  if (c >= Alphabet().bytes.size() || Alphabet().bytes[c] < 0) return std::nullopt;
  return static_cast<uint8_t>(Alphabet().bytes[c]);
}

std::string WriteByteLevel(absl::string_view bytes) {
  std::string written;
  for (const char byte : bytes) unicode::AppendUtf8(CharacterOfByte(static_cast<uint8_t>(byte)), &written);
  return written;
}

std::optional<std::string> ReadByteLevel(absl::string_view written) {
  std::string bytes;
  const char* const end = written.data() + written.size();
  for (const char* at = written.data(); at < end;) {
    const unicode::CodePoint c = unicode::Decode(at, end);
    const std::optional<uint8_t> byte = c.valid ? ByteOfCharacter(c.value) : std::nullopt;
    if (!byte) return std::nullopt;
    bytes.push_back(static_cast<char>(*byte));
    at += c.size_bytes;
  }
  return bytes;
}

}  // namespace lockstep::data
