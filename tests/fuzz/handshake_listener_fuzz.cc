// Whatever calls a listener: nobody gets in without the secret, and what is no Hello is not answered.
#include <string>

#include "comm/tcp/handshake.h"
#include "tests/fuzz/socket_ends.h"

namespace lockstep::testing {
namespace {

const comm::HandshakeIdentity kListener{0, 7, std::string(32, 's')};
const comm::HandshakeIdentity kCaller{1, 7, std::string(32, 's')};

// What a rank of the job says first.
std::string Hello() {
  SocketEnds ends;
  const Deadline now = Deadline::After(absl::ZeroDuration());
  Require(!comm::CallPeer(ends.own.get(), kCaller, 0, now, -1).ok(), "a call that nobody answers fails");
  return ends.Heard();
}

}  // namespace

std::vector<std::string> FuzzSeeds() {
  const std::string hello = Hello();
  return {hello + std::string(32, 'p'), hello, "GET / HTTP/1.1\r\n\r\n"};
}

}  // namespace lockstep::testing

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace lockstep;
  testing::SocketEnds ends;
  ends.Say(testing::FuzzText(data, size));
  comm::ListenerHandshake handshake(std::move(ends.own), &testing::kListener, 3);
  testing::Require(handshake.Advance() == comm::ListenerHandshake::Outcome::kRejected,
                   "nobody gets in without the secret");
  const size_t heard = ends.Heard().size();
  testing::Require(heard == 0 || heard == 64, "the answer is one Reply or nothing");
  if (heard > 0) testing::NoteReached();  // as far as the proof
  return 0;
}
