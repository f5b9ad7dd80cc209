// Bytes from the network, and dumps from anywhere: refused or understood; never a crash, never memory by a
// mere claim, and nobody gets in without the secret.
#include <sys/socket.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include "comm/dump.h"
#include "comm/explain.h"
#include "comm/fd.h"
#include "comm/tcp/handshake.h"
#include "comm/tcp/link.h"
#include "gtest/gtest.h"
#include "runtime/core/hash.h"
#include "tests/fuzz/fuzz.h"

namespace lockstep::comm {
namespace {

constexpr size_t kMostBytes = 32768;  // what a socket takes without anyone reading

struct Ends {
  Ends() {
    int fds[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds) != 0) std::abort();
    a = Fd(fds[0]);
    b = Fd(fds[1]);
  }
  // Says `bytes` at a, which b will hear, and hangs up.
  void Say(const std::string& bytes) {
    const size_t n = std::min(bytes.size(), kMostBytes);
    EXPECT_EQ(send(a.get(), bytes.data(), n, MSG_NOSIGNAL), static_cast<ssize_t>(n));
    shutdown(a.get(), SHUT_WR);
  }
  std::string Heard() {
    std::string bytes(kMostBytes, '\0');
    const ssize_t got = recv(a.get(), bytes.data(), bytes.size(), MSG_DONTWAIT);
    bytes.resize(got < 0 ? 0 : got);
    return bytes;
  }
  Fd a, b;
};

const HandshakeIdentity kListener{0, 7, std::string(32, 's')};
const HandshakeIdentity kCaller{1, 7, std::string(32, 's')};

// What a caller says first.
std::string Hello() {
  Ends ends;
  EXPECT_FALSE(CallPeer(ends.b.get(), kCaller, 0, Deadline::After(absl::ZeroDuration()), -1).ok());
  return ends.Heard();
}

TEST(CommFuzzTest, NobodyTalksIntoTheListener) {
  const std::string hello = Hello();
  ASSERT_EQ(hello.size(), 64u);
  int answered = 0;
  testing::Fuzz("listener", {hello + std::string(32, 'p'), hello, "GET / HTTP/1.1\r\n\r\n"},
                [&](const std::string& input) {
                  Ends ends;
                  ends.Say(input);
                  ListenerHandshake handshake(std::move(ends.b), &kListener, 3);
                  EXPECT_EQ(handshake.Advance(), ListenerHandshake::Outcome::kRejected);
                  const size_t heard = ends.Heard().size();
                  EXPECT_TRUE(heard == 0 || heard == 64) << heard;
                  if (heard > 0) ++answered;
                });
  EXPECT_GT(answered, 0);  // some came as far as the proof
}

TEST(CommFuzzTest, NobodyAnswersInPlaceOfTheListener) {
  testing::Fuzz(
      "caller", {std::string(64, 'r') + "OK\r\n", std::string(68, '\0')}, [&](const std::string& input) {
        Ends ends;
        ends.Say(input);
        EXPECT_FALSE(CallPeer(ends.b.get(), kCaller, 0, Deadline::After(absl::Seconds(5)), -1).ok());
      });
}

// Frames as a peer sends them.
std::string Frames(bool crc) {
  Ends ends;
  TcpLink link(std::move(ends.b), 0, 1, 7, crc);
  const std::string payload = "sixty-four bytes of payload, which is what the receiver expects.";
  std::string failure(sizeof(FailureNote), '\0');
  failure += "disk full";
  link.StartPulse({12, 1000, 10});
  link.StartSend(FrameKind::kMessage, {}, payload.data(), payload.size());
  EXPECT_TRUE(link.AdvanceSend().ok());
  link.StartSend(FrameKind::kMessage, {}, payload.data(), payload.size());
  link.VoidSend();
  EXPECT_TRUE(link.AdvanceSend().ok());
  link.StartPulse({13, 0, -1});
  link.StartSend(FrameKind::kFailure, {}, failure.data(), failure.size());
  EXPECT_TRUE(link.AdvanceSend().ok());
  link.StartSend(FrameKind::kGoodbye, {}, nullptr, 0);
  EXPECT_TRUE(link.AdvanceSend().ok());
  return ends.Heard();
}

// Receives until an error; how many messages came.
int Receive(const std::string& input, size_t wanted_bytes) {
  Ends ends;
  ends.Say(input);
  TcpLink link(std::move(ends.b), 1, 0, 7);
  std::vector<char> into(wanted_bytes);
  int messages = 0;
  while (true) {
    const Incoming wanted{0, into.data(), into.size(), {}};
    bool done = false;
    const auto moved = link.AdvanceRecv(&wanted, done);
    if (!moved.ok()) {
      EXPECT_FALSE(moved.status().message().empty());
      return messages;
    }
    EXPECT_TRUE(done);  // all there is to come has come
    if (!done || ++messages > 1000) return messages;
  }
}

// The CRC of the first header made right, so that what it says is looked at.
std::string WithRightHeader(std::string input) {
  if (input.size() < sizeof(FrameHeader)) return input;
  const uint32_t crc = Crc32c(0, input.data(), offsetof(FrameHeader, header_crc));
  std::memcpy(&input[offsetof(FrameHeader, header_crc)], &crc, sizeof crc);
  return input;
}

TEST(CommFuzzTest, Frames) {
  const std::string plain = Frames(false), checked = Frames(true);
  ASSERT_EQ(Receive(plain, 64), 1);
  ASSERT_EQ(Receive(checked, 64), 1);
  const std::string one = plain.substr(104, 72 + 64 + 8);  // the message behind the pulse
  ASSERT_EQ(Receive(one, 64), 1);
  testing::Fuzz("frames", {plain, checked, one, one + one, checked.substr(104), plain.substr(0, 104)},
                [](const std::string& input) {
                  Receive(input, 64);
                  Receive(WithRightHeader(input), 64);
                  Receive(WithRightHeader(input), 0);
                });
}

TEST(CommFuzzTest, Dumps) {
  Dump dump;
  dump.rank = 1;
  dump.size = 3;
  dump.backend = "tcp";
  dump.world = "0123456789abcdef";
  dump.failure = "rank 0 reports: it's late";
  for (int i = 0; i < 6; ++i) {
    CallRecord record;
    record.descriptor.kind = static_cast<uint8_t>(2 * i);
    record.descriptor.sequence = i;
    record.descriptor.count = 100;
    record.state = i < 4 ? CallState::kDone : i == 4 ? CallState::kRunning : CallState::kQueued;
    record.issued = record.started = 1000 + i;
    record.ended = i < 4 ? 2000 + i : 0;
    dump.records.push_back(record);
  }
  dump.calls = dump.collectives = 6;
  const std::string sample = SerializeDump(dump);
  ASSERT_TRUE(ParseDump(sample, "sample").ok());
  dump.rank = 0;
  int read = 0;
  testing::Fuzz("dump", {sample, "{\"lockstep_comm_dump\":1}\n"}, [&](const std::string& input) {
    const auto parsed = ParseDump(input, "input");
    if (!parsed.ok()) {
      EXPECT_EQ(TroubleOf(parsed.status()), Trouble::kData) << parsed.status();
      EXPECT_NE(parsed.status().message().find("input"), absl::string_view::npos);
      return;
    }
    ++read;
    const std::string text = SerializeDump(*parsed);
    const auto again = ParseDump(text, "again");
    ASSERT_TRUE(again.ok()) << again.status();
    EXPECT_EQ(SerializeDump(*again), text);
    ExplainDumps(std::vector<NamedDump>{{"input", *parsed}, {"sample", dump}}).status().IgnoreError();
    EXPECT_TRUE(ExplainDumps(std::vector<NamedDump>{{"input", *parsed}}).ok());
  });
  EXPECT_GT(read, 0);
}

}  // namespace
}  // namespace lockstep::comm
