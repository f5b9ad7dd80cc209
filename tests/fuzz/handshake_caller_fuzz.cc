// Whatever answers a call: nobody passes for the listener without the secret.
#include <string>

#include "comm/tcp/handshake.h"
#include "tests/fuzz/socket_ends.h"

namespace lockstep::testing {
namespace {

const comm::HandshakeIdentity kCaller{1, 7, std::string(32, 's')};

}  // namespace

std::vector<std::string> FuzzSeeds() {
  return {std::string(64, 'r') + "OK\r\n", std::string(68, '\0'), "HTTP/1.1 400 Bad Request\r\n\r\n"};
}

}  // namespace lockstep::testing

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace lockstep;
  testing::SocketEnds ends;
  ends.Say(testing::FuzzText(data, size));
  const absl::Status status =
      comm::CallPeer(ends.own.get(), testing::kCaller, 0, Deadline::After(absl::Seconds(5)), -1);
  testing::Require(!status.ok(), "nobody passes for the listener without the secret");
  testing::Require(!status.message().empty(), "the error says something");
  if (size >= 64) testing::NoteReached();  // a whole Reply was looked at
  return 0;
}
