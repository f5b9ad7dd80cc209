#include "comm/tcp/frame.h"

#include <cstddef>

#include "runtime/core/hash.h"

namespace lockstep::comm {
namespace {
constexpr uint32_t kMagic = 0x464b4b4cu;  // "LKKF"
uint32_t HeaderCrc(const FrameHeader& header) {
  return Crc32c(0, &header, offsetof(FrameHeader, header_crc));
}
}  // namespace

FrameHeader MakeHeader(FrameKind kind, uint64_t generation, const CallDescriptor& descriptor,
                       uint64_t payload_bytes, uint32_t flags) {
  FrameHeader header{kMagic, kind, generation, descriptor, payload_bytes, flags, 0};
  header.header_crc = HeaderCrc(header);
  return header;
}

absl::Status CheckHeader(const FrameHeader& header, uint64_t generation) {
  if (header.magic != kMagic || header.header_crc != HeaderCrc(header)) {
    return PeerError("sent a damaged frame (magic number or CRC of its header is wrong)");
  }
  if (header.generation != generation) {
    return PeerError(absl::StrCat("is of generation ", header.generation, ", not ", generation));
  }
  const bool sound = header.kind == FrameKind::kMessage ||
                     (header.kind == FrameKind::kPulse && header.payload_bytes == sizeof(Pulse)) ||
                     (header.kind == FrameKind::kFailure && header.payload_bytes >= sizeof(FailureNote) &&
                      header.payload_bytes <= kMaxFailureBytes) ||
                     (header.kind == FrameKind::kGoodbye && header.payload_bytes == 0);
  return sound && (header.flags & ~kFlagCrc) == 0 ? absl::OkStatus()
                                                  : PeerError("sent a frame that makes no sense");
}

}  // namespace lockstep::comm
