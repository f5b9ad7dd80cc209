// ZIP archives in memory: what is in them, and one member at a time. PKWARE's APPNOTE.TXT, sections 4.3 to 4.5.
#ifndef LOCKSTEP_RUNTIME_DATA_ZIP_H_
#define LOCKSTEP_RUNTIME_DATA_ZIP_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "runtime/core/status.h"

namespace lockstep::data {

struct ZipMember {
  std::string name;
  bool deflated = false;  // else stored as it is
  uint32_t crc = 0;       // CRC-32 of the contents
  uint64_t stored_bytes = 0, size_bytes = 0;
  uint64_t header_offset = 0;  // of its local header
};

// In the order of the archive's directory; folders are left out. ZIP64 is understood. Error: DataError for what is no archive, is damaged, split
// or encrypted, or compressed otherwise than by deflate.
absl::StatusOr<std::vector<ZipMember>> ListZip(const std::string& path, absl::string_view archive);

struct UnzippedMember {
  absl::string_view bytes;
  std::shared_ptr<const void> held;  // null: the bytes lie in the archive
};
// Its contents, their CRC-32 compared. Error: DataError where they are damaged or larger than `limit_bytes` when decompressed.
absl::StatusOr<UnzippedMember> Unzip(const std::string& path, absl::string_view archive,
                                     const ZipMember& member, uint64_t limit_bytes);

}  // namespace lockstep::data

#endif  // LOCKSTEP_RUNTIME_DATA_ZIP_H_
