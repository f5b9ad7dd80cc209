// Frames from the network: messages, or an error; never a crash, and never memory by a mere claim.
#include <cstddef>
#include <cstring>
#include <string>
#include <vector>

#include "comm/tcp/link.h"
#include "runtime/core/hash.h"
#include "tests/fuzz/socket_ends.h"

namespace lockstep::testing {
namespace {

using comm::FrameHeader;
using comm::FrameKind;

constexpr size_t kPayloadBytes = 64;

// Frames as a peer sends them: a pulse, a message, a voided one, a pulse, a failure and a goodbye.
std::string Frames(bool crc) {
  SocketEnds ends;
  comm::TcpLink link(std::move(ends.own), 0, 1, 7, crc);
  const std::string payload(kPayloadBytes, 'm');
  std::string failure(sizeof(comm::FailureNote), '\0');
  failure += "disk full";
  const auto send = [&](FrameKind kind, const std::string& bytes, bool is_void = false) {
    link.StartSend(kind, {}, bytes.data(), bytes.size());
    if (is_void) link.VoidSend();
    Require(link.AdvanceSend().ok(), "frames can be sent");
  };
  link.StartPulse({12, 1000, 10});
  send(FrameKind::kMessage, payload);
  send(FrameKind::kMessage, payload, true);
  link.StartPulse({13, 0, -1});
  send(FrameKind::kFailure, failure);
  send(FrameKind::kGoodbye, "");
  return ends.Heard();
}

// Receives until an error; how many messages came.
int Receive(absl::string_view input, size_t wanted_bytes) {
  SocketEnds ends;
  ends.Say(input);
  comm::TcpLink link(std::move(ends.own), 1, 0, 7);
  std::vector<char> into(wanted_bytes);
  int messages = 0;
  while (true) {
    const comm::Incoming wanted{0, into.data(), into.size(), {}};
    bool done = false;
    const auto moved = link.AdvanceRecv(&wanted, done);
    if (!moved.ok()) {
      Require(!moved.status().message().empty(), "the error says something");
      return messages;
    }
    Require(done, "the link does not wait for what cannot come any more");
    if (++messages > 1000) return messages;
  }
}

// The CRC of the first header made right, so that what it says is looked at.
std::string WithRightHeader(std::string input) {
  if (input.size() < sizeof(FrameHeader)) return input;
  const uint32_t crc = Crc32c(0, input.data(), offsetof(FrameHeader, header_crc));
  std::memcpy(&input[offsetof(FrameHeader, header_crc)], &crc, sizeof crc);
  return input;
}

}  // namespace

std::vector<std::string> FuzzSeeds() {
  constexpr size_t kPulse = sizeof(FrameHeader) + sizeof(comm::Pulse) + sizeof(comm::FrameTrailer);
  constexpr size_t kMessage = sizeof(FrameHeader) + kPayloadBytes + sizeof(comm::FrameTrailer);
  const std::string plain = Frames(false), checked = Frames(true);
  const std::string one = plain.substr(kPulse, kMessage);
  for (const std::string& bytes : {plain, checked, one})
    Require(Receive(bytes, kPayloadBytes) == 1, "frames that were sent are received");
  return {plain, checked, one, one + one, checked.substr(kPulse), plain.substr(0, kPulse)};
}

}  // namespace lockstep::testing

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace lockstep::testing;
  const std::string input(FuzzText(data, size));
  if (Receive(input, kPayloadBytes) > 0) NoteReached();
  Receive(WithRightHeader(input), kPayloadBytes);
  Receive(WithRightHeader(input), 0);
  return 0;
}
