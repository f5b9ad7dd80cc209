#include "runtime/data/text/added_tokens.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "runtime/data/text/unicode.h"

namespace lockstep::data {
namespace {

bool IsSpaceAt(const char* at, const char* end, int* size_bytes) {
  const unicode::CodePoint c = unicode::Decode(at, end);
  *size_bytes = c.size_bytes;
  return c.valid && (unicode::ClassOf(c.value) & unicode::kSpace) != 0;
}

size_t SpacesAtFront(absl::string_view text) {
  const char* const end = text.data() + text.size();
  const char* at = text.data();
  for (int size = 0; at < end && IsSpaceAt(at, end, &size);) at += size;
  return static_cast<size_t>(at - text.data());
}

size_t SpacesAtBack(absl::string_view text) {
  const char *const begin = text.data(), *const end = begin + text.size();
  const char* at = end;
  while (at > begin) {
    const char* before = at - 1;
    while (before > begin && at - before < 4 && (static_cast<unsigned char>(*before) & 0xC0) == 0x80)
      --before;
    int size = 0;
    if (!IsSpaceAt(before, end, &size) || size != at - before) break;
    at = before;
  }
  return static_cast<size_t>(end - at);
}

}  // namespace

AddedTokens::AddedTokens(std::vector<AddedToken> tokens) : tokens_(std::move(tokens)) {
  std::stable_sort(tokens_.begin(), tokens_.end(), [](const AddedToken& a, const AddedToken& b) {
    return a.content.size() > b.content.size();
  });
  for (size_t i = 0; i < tokens_.size(); ++i) {
    if (tokens_[i].content.empty()) continue;
    by_first_byte_[static_cast<uint8_t>(tokens_[i].content[0])].push_back(static_cast<uint32_t>(i));
  }
}

void AddedTokens::Split(absl::string_view text, absl::FunctionRef<void(absl::string_view)> piece,
                        absl::FunctionRef<void(int32_t)> token) const {
  size_t done = 0;
  for (size_t at = 0; !tokens_.empty() && at < text.size();) {
    const AddedToken* found = nullptr;
    for (const uint32_t candidate : by_first_byte_[static_cast<uint8_t>(text[at])]) {
      if (!absl::StartsWith(text.substr(at), tokens_[candidate].content)) continue;
      found = &tokens_[candidate];
      break;
    }
    if (found == nullptr) {
      ++at;
      continue;
    }
    const size_t end = at + found->content.size();
    const absl::string_view before = text.substr(done, at - done);
    const size_t taken = found->strip_left ? SpacesAtBack(before) : 0;
    if (before.size() > taken) piece(before.substr(0, before.size() - taken));
    token(found->id);
    at = done = end + (found->strip_right ? SpacesAtFront(text.substr(end)) : 0);
  }
  if (done < text.size()) piece(text.substr(done));
}

}  // namespace lockstep::data
