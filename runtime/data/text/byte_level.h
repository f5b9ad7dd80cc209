// GPT-2's byte level: how a text is cut into words before merging, and how bytes are written as characters in
// vocabularies and merges.
#ifndef LOCKSTEP_RUNTIME_DATA_TEXT_BYTE_LEVEL_H_
#define LOCKSTEP_RUNTIME_DATA_TEXT_BYTE_LEVEL_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "absl/strings/string_view.h"

namespace lockstep::data {

// The length of the first word of `text`, which is not empty, by GPT-2's pattern
//   's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
// Bytes that are no UTF-8 count as characters of the third kind, so no byte is ever lost.
size_t ByteLevelWord(absl::string_view text);

// Printable Latin-1 bytes stand for themselves, the others for U+0100, U+0101 ... in order (GPT-2's
// bytes_to_unicode).
char32_t CharacterOfByte(uint8_t byte);
std::optional<uint8_t> ByteOfCharacter(char32_t c);

// A token as vocabularies write it ("Ġthe") and as bytes (" the"). The second is empty where `written` has a
// character that stands for no byte.
std::string WriteByteLevel(absl::string_view bytes);
std::optional<std::string> ReadByteLevel(absl::string_view written);

}  // namespace lockstep::data

#endif  // LOCKSTEP_RUNTIME_DATA_TEXT_BYTE_LEVEL_H_
