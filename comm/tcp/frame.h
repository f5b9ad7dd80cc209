// What travels on a connection once both ends are known: frames of header, payload and trailer. Little-endian
// machines of one kind only; the magic number of another kind differs.
#ifndef LOCKSTEP_COMM_TCP_FRAME_H_
#define LOCKSTEP_COMM_TCP_FRAME_H_

#include <cstdint>

#include "comm/call.h"

namespace lockstep::comm {

enum class FrameKind : uint32_t {
  kMessage = 1,
  kFailure = 2,  // payload: FailureNote, then the text. The sender fails and sends nothing more
  kGoodbye = 3,  // no payload. The sender closes its communicator in good order
  kPulse = 4,    // payload: Pulse. Between messages, also when none is expected
};

struct FrameHeader {
  uint32_t magic;
  FrameKind kind;
  uint64_t generation;
  CallDescriptor descriptor;  // of the sender's call
  uint64_t payload_bytes;
  uint32_t flags;
  uint32_t header_crc;  // CRC-32C of everything above
};
static_assert(sizeof(FrameHeader) == 72);

// Behind the payload, so that a sender that fails half-way can say so: the stream stays in step, and the
// receiver hears the reason in the frame that follows.
struct FrameTrailer {
  uint32_t crc;      // with kFlagCrc: CRC-32C of the payload and of `aborted`; else 0
  uint32_t aborted;  // 1: the payload is void
};
static_assert(sizeof(FrameTrailer) == 8);

struct FailureNote {
  int32_t trouble;
  int32_t code;
};
inline constexpr size_t kMaxFailureBytes = 2048;

// What a rank shows of its progress (comm/liveness.h). Ages rather than moments: machines share no clock.
struct Pulse {
  uint64_t count;       // pieces of work that the sender has done
  int64_t noted_age;    // nanoseconds since the last of them; -1: there was none
  int64_t newest_age;   // since the last that it knows of, anywhere in the world; -1: there was none
  int64_t awaits = -1;  // the rank that the sender has been waiting for for long; -1: none
};
static_assert(sizeof(Pulse) == 32);

inline constexpr uint32_t kFlagCrc = 1;  // the trailer holds a CRC

FrameHeader MakeHeader(FrameKind kind, uint64_t generation, const CallDescriptor& descriptor,
                       uint64_t payload_bytes, uint32_t flags = 0);
// Whether a received header is one: magic, CRC, known kind and flags, and a bounded size of all but messages.
// Error: PeerError.
absl::Status CheckHeader(const FrameHeader& header, uint64_t generation);

}  // namespace lockstep::comm

#endif  // LOCKSTEP_COMM_TCP_FRAME_H_
