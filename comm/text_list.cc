#include "comm/text_list.h"

#include <cstdint>
#include <cstring>

namespace lockstep::comm {

std::string PackTexts(const std::vector<std::string>& texts) {
  std::string packed;
  for (const std::string& text : texts) {
    const auto size = static_cast<uint32_t>(text.size());
    packed.append(reinterpret_cast<const char*>(&size), sizeof size);
    packed.append(text);
  }
  return packed;
}

bool UnpackTexts(absl::string_view packed, std::vector<std::string>& texts) {
  texts.clear();
  while (!packed.empty()) {
    uint32_t size;
    if (packed.size() < sizeof size) return false;
    std::memcpy(&size, packed.data(), sizeof size);
    if (packed.size() - sizeof size < size) return false;
    texts.emplace_back(packed.substr(sizeof size, size));
    packed.remove_prefix(sizeof size + size);
  }
  return true;
}

}  // namespace lockstep::comm
