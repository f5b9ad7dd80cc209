#include "runtime/data/gunzip.h"

#include <isa-l/igzip_lib.h>

#include <memory>

namespace lockstep::data {

absl::StatusOr<std::string> Gunzip(const std::string& name, absl::string_view compressed,
                                   size_t limit_bytes) {
  if (compressed.size() > (size_t{1} << 31)) return DataError(absl::StrCat(name, " is larger than 2 GiB"));
  constexpr size_t kChunkBytes = size_t{1} << 20;
  auto state = std::make_unique<inflate_state>();  // large: not for the stack
  isal_inflate_init(state.get());
  state->crc_flag = ISAL_GZIP;
  state->next_in = reinterpret_cast<uint8_t*>(const_cast<char*>(compressed.data()));
  state->avail_in = static_cast<uint32_t>(compressed.size());
  std::string out;
  std::string chunk(kChunkBytes, '\0');
  while (state->block_state != ISAL_BLOCK_FINISH) {
    state->next_out = reinterpret_cast<uint8_t*>(chunk.data());
    state->avail_out = static_cast<uint32_t>(chunk.size());
    const int result = isal_inflate(state.get());
    if (result != ISAL_DECOMP_OK) {
      return DataError(
          absl::StrCat(name, " is damaged: inflate says ", result, " after ", out.size(), " bytes"));
    }
    const size_t made = chunk.size() - state->avail_out;
    out.append(chunk.data(), made);
    if (out.size() > limit_bytes)
      return DataError(absl::StrCat(name, " holds more than ", limit_bytes, " bytes"));
    if (made == 0 && state->avail_in == 0 && state->block_state != ISAL_BLOCK_FINISH) {
      return DataError(absl::StrCat(name, " is cut short after ", out.size(), " decompressed bytes"));
    }
  }
  return out;
}

}  // namespace lockstep::data
